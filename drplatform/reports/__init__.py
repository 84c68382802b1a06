"""Evidence -> files that people and tools read, one module a format. Knows `model` only."""
