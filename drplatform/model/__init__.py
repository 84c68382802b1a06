"""What drplatform knows: policies, positions, backups, ledgers, losses, verdicts, evidence and the ports.

Standard library only; no I/O, no clock reads, no imports of any other layer.
"""
