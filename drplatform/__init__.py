"""Proves that a platform can be recovered: backups, disasters, measured recovery, evidence."""

__version__ = "0.1.0"
