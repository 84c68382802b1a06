"""Where the system under drill runs, one module a platform. Knows `model` only."""
