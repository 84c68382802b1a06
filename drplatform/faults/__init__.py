"""The disasters, one file each, as frozen dataclasses of their parameters. Knows `model` only."""
