"""The pytest face: options, the `drill` fixture, and the step library for Gherkin features.

Knows the composition and pytest; the sentences themselves are the engine's.
"""
