"""What drplatform does: drills, backups, workload, faulting, runbooks, audit. Knows `model` only; edges come in as ports."""
