"""What was observed, as a page for Prometheus (text exposition format, by its own client library)."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from drplatform.model.monitoring import Alert, Observed
from drplatform.model.policy import Policy

CONTENT_TYPE = CONTENT_TYPE_LATEST
NEVER = float("nan")


def page(seen: Observed, policy: Policy, firing: tuple[Alert, ...], failures: Mapping[str, int], performed: Mapping[str, int]) -> bytes:
    """All metrics, each with its unit in its name. NaN: not known."""
    registry = CollectorRegistry()

    def gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"drplatform_{name}", about, labels, registry=registry)

    last = gauge("backup_last_success_timestamp_seconds", "When the newest backup was finished (seconds since 1970)", "store", "kind")
    age = gauge("backup_age_seconds", "Age of the newest backup", "store", "kind")
    size = gauge("backup_size_bytes", "Stored bytes of the newest backup", "store", "kind")
    failed = gauge("backup_failed", "1 when the last attempt failed", "store", "kind")
    for job in seen.jobs:
        at = job.finished.timestamp() if job.finished else NEVER
        last.labels(job.store, job.kind).set(at)
        age.labels(job.store, job.kind).set((seen.at - job.finished).total_seconds() if job.finished else NEVER)
        size.labels(job.store, job.kind).set(job.sizes[-1] if job.sizes else NEVER)
        failed.labels(job.store, job.kind).set(int(bool(job.failure)))
    point = gauge("recovery_point_seconds", "History that a loss of the store now would cost", "store")
    target = gauge("recovery_point_target_seconds", "What the policy allows", "store")
    for store in seen.reached:
        cost = seen.recovery_point(store)
        point.labels(store).set(NEVER if cost is None else cost)
        target.labels(store).set(policy.rpo(store))
    lag = gauge("capture_lag_seconds", "History not yet sealed in the vault", "store")
    for capture in seen.captures:
        lag.labels(capture.store).set(NEVER if capture.lag is None else capture.lag)
    behind = gauge("replica_lag_seconds", "How far the server is behind the most advanced of its group", "store", "member", "role")
    for one in seen.replications:
        for member in one.members:
            behind.labels(one.store, member.address, member.role.value).set(NEVER if member.lag_seconds is None else member.lag_seconds)
    measured = gauge("drill_measured_seconds", "Upper bound measured by the newest drill", "measurement", "subject")
    for recovery in seen.recoveries:
        measured.labels(recovery.name, recovery.subject).set(NEVER if recovery.upper is None else recovery.upper)
    overdue = gauge("drill_overdue", "1 when the drill must be run", "drill", "cadence")
    for due in seen.drills:
        overdue.labels(due.name, due.cadence).set(int(due.overdue(seen.at)))
    gauge("backups_damaged", "Backups that are damaged").set(len(seen.damaged))
    gauge("vault_stored_bytes", "Bytes of all backups").set(seen.stored_bytes)
    gauge("vault_growth_bytes_per_day", "Growth in the last week").set(seen.growth)
    gauge("vault_capacity_bytes", "Room for backups").set(NEVER if seen.capacity is None else seen.capacity)
    ends = gauge("expiry_timestamp_seconds", "When a certificate or key ends to be good (seconds since 1970)", "subject")
    for name, end in seen.expiries.items():
        ends.labels(name).set(end.timestamp())
    alerts = gauge("alert", "1 while an alert fires", "alert", "subject", "severity")
    for alert in firing:
        alerts.labels(alert.name, alert.subject, alert.severity).set(1)
    errors = gauge("agent_failures", "How often a duty of the agent failed since it started", "duty")
    done = gauge("agent_jobs_done", "How often a job was done since the agent started", "job")
    for duty, count in failures.items():
        errors.labels(duty).set(count)
    for name, count in performed.items():
        done.labels(name).set(count)
    return generate_latest(registry)
