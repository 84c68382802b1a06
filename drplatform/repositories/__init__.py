"""Where backups live, one module a kind. Knows `model` only."""
