"""The clauses of the Migratio platform's backup and disaster recovery strategy, the controls they bear on, and what proves each.

Controls: SOC 2 (Trust Services Criteria A1), ISO/IEC 27001:2022 Annex A, ISO 22301:2019, NIST SP 800-53 Rev. 5, PCI DSS 4.0, HIPAA Security
Rule, DORA (EU 2022/2554), NIS2 (EU 2022/2555).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from drplatform.model import oversight
from drplatform.model.compliance import Clause, Proof, Record, failed_elsewhere
from drplatform.model.policy import Policy

BACKUPS = ("SOC 2 A1.2", "ISO 27001 A.8.13", "NIST CP-9", "HIPAA 164.308(a)(7)", "DORA 12", "NIS2 21(2)(c)")
RECOVERY = ("SOC 2 A1.2", "ISO 27001 A.5.30", "NIST CP-10", "HIPAA 164.308(a)(7)", "DORA 11", "DORA 12", "NIS2 21(2)(c)")
REGIONS = ("SOC 2 A1.2", "ISO 27001 A.8.14", "NIST CP-10", "DORA 11", "DORA 12")
TESTING = ("SOC 2 A1.3", "ISO 22301 8.5", "NIST CP-4", "PCI DSS 12.10", "DORA 24-26", "HIPAA 164.308(a)(7)")
OVERSIGHT = ("ISO 27001 A.5.29", "ISO 22301 8.5", "PCI DSS 12.10", "DORA 11")


# -- what shows a clause --------------------------------------------------------------------------------------------------------


def recovered(store: str, kind: str) -> Proof:
    """The store came back from backups of which one is of this kind, everything about it checked."""

    def proof(record: Record, policy: Policy) -> bool | None:
        used = any(c["name"] == f"the backups that {store} was recovered from are whole" for c in record["checks"])
        taken = any(b["store"] == store and b["kind"] == kind for b in record["backups"])
        return _sound(record, store) if used and taken else None

    return proof


def to_a_point(store: str) -> Proof:
    """The store came back to a chosen point of its continuous log."""

    def proof(record: Record, policy: Policy) -> bool | None:
        asked = any("just before the drop" in s["text"] for s in record["scenario"]["sentences"])
        return recovered(store, "log")(record, policy) if asked else None

    return proof


def met(measurement: str, group: Callable[[Policy, str], bool]) -> Proof:
    """Every measurement of this name (rto, rpo) met its target, on the stores of the group that a disaster of the drill concerned."""

    def proof(record: Record, policy: Policy) -> bool | None:
        hurt = {store for fault in record["faults"] for store in fault["affects"]}
        of = [
            m
            for m in record["measurements"]
            if m["name"] == measurement and m["subject"] in hurt & policy.stores.keys() and group(policy, m["subject"])
        ]
        return all(m["verdict"] == "PASSED" for m in of) if of else None

    return proof


def met_all(measurement: str) -> Proof:
    """Every measurement of this name met its target."""

    def proof(record: Record, policy: Policy) -> bool | None:
        of = [m for m in record["measurements"] if m["name"] == measurement]
        return all(m["verdict"] == "PASSED" for m in of) if of else None

    return proof


def everything(*proofs: Proof) -> Proof:
    """All of the proofs, by one drill."""

    def proof(record: Record, policy: Policy) -> bool | None:
        shown = [proof(record, policy) for proof in proofs]
        return None if None in shown else all(shown)

    return proof


def checked(words: str) -> Proof:
    """All checks whose name holds these words passed, each having caught the defect planted for it."""

    def proof(record: Record, policy: Policy) -> bool | None:
        of = [c for c in record["checks"] if words in c["name"]]
        return all(map(_good, of)) if of else None

    return proof


def drilled(cadence: str) -> Proof:
    """A drill of this cadence ran to its end. What it found wrong is told by the clauses concerned."""

    def proof(record: Record, policy: Policy) -> bool | None:
        if record["scenario"]["cadence"] != cadence:
            return None
        return record["verdict"] == "PASSED" or failed_elsewhere(record)

    return proof


def chained(record: Record, policy: Policy) -> bool | None:
    """The record stands in the hash chain of the audit log (which the reader has verified)."""
    return "hash" in record and "previous" in record


def said(words: str, *proofs: Proof) -> Proof:
    """A sentence of the scenario holds these words and passed, and the proofs hold."""

    def proof(record: Record, policy: Policy) -> bool | None:
        if not any(words in s["text"] and s["result"] == "passed" for s in record["scenario"]["sentences"]):
            return None
        shown = [proof(record, policy) for proof in proofs]
        return None if None in shown else all(shown)

    return proof


def either(*proofs: Proof) -> Proof:
    """Those of the proofs that concern the drill, if any does."""

    def proof(record: Record, policy: Policy) -> bool | None:
        shown = [found for p in proofs if (found := p(record, policy)) is not None]
        return all(shown) if shown else None

    return proof


def stepped(words: str) -> Proof:
    """A step of the runbook whose name begins so was done."""
    return lambda record, policy: True if any(str(s["step"]).startswith(words) for s in record["spans"]) else None


def within(store: str, seconds: float) -> Proof:
    """No more of the store was lost than so many seconds."""

    def proof(record: Record, policy: Policy) -> bool | None:
        of = [m for m in record["measurements"] if (m["name"], m["subject"]) == ("rpo", store) and m["upper"] is not None]
        return all(m["upper"] < seconds for m in of) if of else None

    return proof


def started(tier: str) -> Proof:
    """Every service of the tier that a drill brought up was up before the tier's objective was over, counted from the first disaster."""

    def proof(record: Record, policy: Policy) -> bool | None:
        names = {f"Start the service {s.name}" for s in policy.services if s.tier == tier}
        ends = [float(s["end"]) for s in record["spans"] if s["step"] in names]
        began = [float(f["began"]) for f in record["faults"] if f.get("began") is not None]
        return max(ends) - min(began) < policy.objectives.rto[tier] if ends and began else None

    return proof


SERVICES_WELL = "is healthy and reaches what it depends on"


def signed_off(record: Record, policy: Policy) -> bool | None:
    """A person has looked at critical functionality after the recovery, and signed."""
    events = record.get("timeline", ())
    signed = [e for e in events if e["name"] == "manual.signed" or (e["name"] == "gameday.signed" and e["detail"]["role"] == "verified")]
    return True if signed or SIGN_OFF in record.get("about", ()) else None


def practised(record: Record, policy: Policy) -> bool | None:
    """People recovered by the runbook on a game day."""
    return True if "gameday" in record["scenario"].get("tags", ()) else None


SIGN_OFF = "manual sign-off"
"""The kind of records about a drill: critical functionality was verified by a person."""


def _sound(record: Record, store: str) -> bool:
    return all(_good(c) for c in record["checks"] if f" {store} " in f" {c['name']} ")


def _good(check: Any) -> bool:
    return bool(check["verdict"] == "PASSED" and check["control"] == "caught")


def _tier(tier: str) -> Callable[[Policy, str], bool]:
    return lambda policy, store: policy.stores[store].tier == tier


def _data(data_class: str) -> Callable[[Policy, str], bool]:
    return lambda policy, store: policy.stores[store].data_class == data_class


# -- the clauses ----------------------------------------------------------------------------------------------------------------

_CLAUSES = (
    Clause("mongodb-full", "Database backups", "MongoDB: daily full backups of all databases", BACKUPS, recovered("mongodb", "full")),
    Clause("mongodb-incremental", "Database backups", "MongoDB: hourly incremental backups", BACKUPS, recovered("mongodb", "incremental")),
    Clause("mongodb-oplog", "Database backups", "MongoDB: continuous oplog backups for point-in-time recovery", BACKUPS, to_a_point("mongodb")),
    Clause("mongodb-retention", "Database backups", "MongoDB: daily backups kept for 30 days, hourly ones for 7 days", BACKUPS, checked("mongodb keeps its backups")),
    Clause("redis-rdb", "Database backups", "Redis: hourly RDB snapshots", BACKUPS, recovered("redis", "snapshot")),
    Clause("redis-aof", "Database backups", "Redis: AOF persistence with fsync every second", BACKUPS, said("server of Redis in the primary region is started again", within("redis", 2.0))),
    Clause("redis-retention", "Database backups", "Redis: backups kept for 7 days", BACKUPS, checked("redis keeps its backups")),
    Clause("files", "File storage backups", "Daily backups of user uploads and generated PDFs", BACKUPS, recovered("files", "full")),
    Clause("files-retention", "File storage backups", "File storage: backups kept for 30 days", BACKUPS, checked("files keeps its backups")),
    Clause("manifests", "Configuration backups", "Daily backups of all Kubernetes manifests", BACKUPS, recovered("configuration", "full")),
    Clause("environment", "Configuration backups", "Daily backups of all environment configurations", BACKUPS, recovered("configuration", "full")),
    Clause("secrets", "Configuration backups", "Daily backups of all secrets (encrypted)", BACKUPS, recovered("configuration", "full")),
    Clause("configuration-retention", "Configuration backups", "Configuration: backups kept for 90 days", BACKUPS, checked("configuration keeps its backups")),
    Clause("rto-critical", "Recovery time objective", "Critical services: below 1 hour", RECOVERY, met("rto", _tier("critical"))),
    Clause("rto-other", "Recovery time objective", "Non-critical services: below 4 hours", RECOVERY, either(met("rto", _tier("non-critical")), started("non-critical"))),
    Clause("rpo-database", "Recovery point objective", "Database data: below 5 minutes", RECOVERY, met("rpo", _data("database"))),
    Clause("rpo-files", "Recovery point objective", "File storage: below 24 hours", RECOVERY, met("rpo", _data("files"))),
    Clause("rpo-configuration", "Recovery point objective", "Configuration: below 24 hours", RECOVERY, met("rpo", _data("configuration"))),
    Clause("recover-mongodb", "Database recovery", "MongoDB: latest full backup, incremental backups, oplog to the desired point in time, verify integrity", RECOVERY, everything(recovered("mongodb", "incremental"), to_a_point("mongodb"))),
    Clause("recover-redis", "Database recovery", "Redis: restore the latest RDB snapshot, verify cache state", RECOVERY, recovered("redis", "snapshot")),
    Clause("recover-redis-log", "Database recovery", "Redis: apply AOF logs if available", RECOVERY, recovered("redis", "log")),
    Clause("recover-cluster", "Infrastructure recovery", "Provision a new Kubernetes cluster, apply manifests, restore secrets, verify cluster health", RECOVERY, recovered("kubernetes", "full")),
    Clause("recover-services", "Infrastructure recovery", "Deploy services in order of dependencies, verify health and connectivity, run integration tests", RECOVERY, said("services are brought up in order", checked(SERVICES_WELL))),
    Clause("verify-data", "Data verification", "Run data integrity checks", RECOVERY, checked("reference data unchanged")),
    Clause("verify-ledger", "Data verification", "Account for every acknowledged write after recovery", RECOVERY, checked("holds what was written and nothing else")),
    Clause("verify-services", "Data verification", "Verify service-to-service communication", RECOVERY, checked(SERVICES_WELL)),
    Clause("verify-end-to-end", "Data verification", "Run end-to-end tests", RECOVERY, checked("an upload becomes a PDF")),
    Clause("verify-answers", "Data verification", "Read old data and write new data through the public name of every store", RECOVERY, checked("answers at the end")),
    Clause("verify-manually", "Data verification", "Manual verification of critical functionality", RECOVERY, signed_off),
    Clause("replicas", "Multi-region strategy", "Database and file replicas in the secondary region, in sync with the primary", REGIONS, said("is replicated to the secondary region", said("over to the secondary region", met_all("rpo")))),
    Clause("standby", "Multi-region strategy", "Primary region: all services active. Secondary region: core services deployed, inactive until a failover", REGIONS, said("the services are deployed", said("fails over to the secondary region", stepped("Start the service "), checked(SERVICES_WELL)))),
    Clause("promote", "Failover process", "Promote database replicas in the secondary region", REGIONS, said("fails over to the secondary region", stepped("Promote"), checked("exactly one server that accepts writes"))),
    Clause("dns", "Failover process", "Update DNS records to point to the secondary region", REGIONS, said("over to the secondary region", stepped("Point the "), checked("answers at the end"))),
    Clause("activate", "Failover process", "Activate services in the secondary region and verify functionality", REGIONS, said("fails over to the secondary region", stepped("Stop the services of the primary region"), stepped("Start the service "), checked(SERVICES_WELL))),
    Clause("monthly", "Testing and validation", "Monthly: test database recovery procedures", TESTING, drilled("monthly")),
    Clause("quarterly", "Testing and validation", "Quarterly: full disaster recovery drill", TESTING, drilled("quarterly")),
    Clause("biannual", "Testing and validation", "Bi-annually: multi-region failover test", TESTING, drilled("biannual")),
    Clause("alerts", "Monitoring and alerting", "Alerts on backup success and failure, size anomalies, recovery time, integrity results", OVERSIGHT, checked("alert is raised by its cause")),
    Clause("runbooks", "Documentation and training", "Detailed recovery runbooks for each component", OVERSIGHT, everything(*(stepped(words) for words in ("Restore mongodb", "Restore redis", "Restore files", "Start the service ")))),
    Clause("training", "Documentation and training", "Regular training of the operations team", OVERSIGHT, practised),
    Clause("reviews", "Documentation and training", "Post-incident reviews and procedure improvements", OVERSIGHT, kept=oversight.incidents_reviewed),
    Clause("encryption", "Compliance and auditing", "Backup encryption for data at rest", BACKUPS, checked("was recovered from are whole")),
    Clause("access", "Compliance and auditing", "Access controls for backup storage", BACKUPS, checked("may do its work at the vault and nothing else")),
    Clause("audit", "Compliance and auditing", "Audit logs for all backup and recovery operations", OVERSIGHT, chained),
    Clause("compliance-reviews", "Compliance and auditing", "Regular compliance reviews", OVERSIGHT, kept=oversight.compliance_reviewed),
    Clause("improve-drills", "Continuous improvement", "Reviewed and improved after each incident or drill", OVERSIGHT, kept=oversight.improved),
    Clause("improve-changes", "Continuous improvement", "Reviewed when services are added and when compliance requirements change", OVERSIGHT, kept=oversight.reviewed_since_change),
    Clause("improve-objectives", "Continuous improvement", "Quarterly review of RTO and RPO targets", OVERSIGHT, kept=oversight.compliance_reviewed),
)  # fmt: skip

MONTHLY, QUARTERLY, BIANNUAL, RESILIENCE = (f"pytest features/ -m {tag}" for tag in ("monthly", "quarterly", "biannual", "resilience"))
REVIEW = "drplatform compliance review --who NAME --statement TEXT"

HOW = {
    "Infrastructure recovery": QUARTERLY,
    "Multi-region strategy": BIANNUAL,
    "Failover process": BIANNUAL,
    "Continuous improvement": REVIEW,
    "redis-aof": RESILIENCE,
    "recover-cluster": f"DRPLATFORM_KUBECONFIG=FILE {QUARTERLY}",
    **dict.fromkeys(("rto-other", "verify-services", "verify-end-to-end", "quarterly", "runbooks"), QUARTERLY),
    "biannual": BIANNUAL,
    "verify-manually": "drplatform compliance sign-off --who NAME --statement TEXT",
    "training": "drplatform gameday",
    "reviews": "drplatform review DRILL --held-by NAME --concluded TEXT",
    "compliance-reviews": REVIEW,
}
"""What to run to have a clause proven, by clause or else by section; the monthly drills prove the others."""

CLAUSES = tuple(replace(c, how=HOW.get(c.id) or HOW.get(c.section) or MONTHLY) for c in _CLAUSES)
"""All of them, in the strategy's order."""
