"""The Chaos Toolkit face: actions, probes and the control that runs a drill around an experiment.

Thin functions: what they do is the engine's. The running drill lies in the experiment's configuration, where Chaos Toolkit hands it to each
of them; there is no state in these modules.
"""
