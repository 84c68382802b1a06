"""The promises that people keep: reviews of incidents and of compliance, and improvement. Judged from what the audit log says that they did."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from drplatform.model.compliance import Log, Record, Standing, Status

POST_INCIDENT, COMPLIANCE = "post-incident review", "compliance review"
"""Kinds of records: a review was held, `signed_by` whom and with which `statement`; of one `drill`, or of all under the `policy` (its hash)."""

QUARTER, HALF_YEAR = timedelta(days=92), timedelta(days=184)
GRACE = timedelta(days=31)
"""So long may a drill that failed be without a review, and without an action planned."""


def incidents_reviewed(log: Log) -> Standing:
    """Every drill that failed was reviewed, within the time for that, and the last review is not older than half a year."""
    held = _held(log, POST_INCIDENT)
    reviewed = {str(r["drill"]) for r in held}
    if waiting := [d for d in log.deficiencies if d.drill not in reviewed and d.found + GRACE < log.now]:
        return Standing(Status.FAILED, f"nobody has reviewed drill {waiting[0].drill}, which failed on {waiting[0].found:%Y-%m-%d}")
    return _fresh(held, log, HALF_YEAR)


def compliance_reviewed(log: Log) -> Standing:
    """A person has looked at compliance and targets, and signed, not longer than a quarter ago."""
    return _fresh(_held(log, COMPLIANCE), log, QUARTER)


def reviewed_since_change(log: Log) -> Standing:
    """The last review was one of today's policy, with its services and targets."""
    held = _held(log, COMPLIANCE)
    if held and held[-1].get("policy") != log.policy.hash:
        return Standing(Status.STALE, f"the policy has changed since {_told(held[-1])}")
    return _fresh(held, log, QUARTER)


def improved(log: Log) -> Standing:
    """Of no drill that failed is the action overdue or still missing, and reviews are held."""
    today = log.now.date()
    for found in log.deficiencies:
        state = found.state(today)
        if state == "action overdue" or (state == "no action planned" and found.found + GRACE < log.now):
            return Standing(Status.FAILED, f"drill {found.drill}, which failed on {found.found:%Y-%m-%d}: {state}")
    return _fresh(_held(log, COMPLIANCE), log, QUARTER)


def _held(log: Log, kind: str) -> Sequence[Record]:
    return [r for r in log.records if r.get("kind") == kind and r.get("signed_by")]


def _fresh(held: Sequence[Record], log: Log, age: timedelta) -> Standing:
    if not held:
        return Standing(Status.NEVER_TESTED, "nobody has signed such a review")
    expires = _when(held[-1]) + age
    if expires < log.now:
        return Standing(Status.STALE, f"the last is too old: {_told(held[-1])}", expires)
    return Standing(Status.PROVEN, _told(held[-1]), expires)


def _told(review: Record) -> str:
    return f"reviewed by {review['signed_by']} on {_when(review):%Y-%m-%d}: {review['statement']}"


def _when(record: Record) -> datetime:
    return datetime.fromisoformat(str(record["when"]))
