"""The stores under protection, one module (or package) a kind, each with `connect(endpoint, clock) -> DataStore`. Knows `model` only."""
