"""Retention keeps what the policy promises and no more; the map says exactly what can be recovered."""

import dataclasses
import random
from datetime import UTC, datetime, timedelta

import pytest

from drplatform import environment
from drplatform.model import backup, errors, retention
from drplatform.model.backup import BackupKind, Manifest
from drplatform.model.position import Position

POLICY = environment.load_policy(None)  # MongoDB: full 30 d, incremental and log 7 d
NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)


def at(moment, timeline="set"):
    return Position(timeline, (int(moment.timestamp()), 1), moment.timestamp())


def made(kind, begin, end, *, store="mongodb", timeline="set", name=""):
    name = name or f"{kind.value}-{end:%m%dT%H%M%S}"
    return Manifest(name, store, store, kind, "id", at(begin, timeline), at(end, timeline), begin, end, (), {}, ())


def full(moment, **more):
    return made(BackupKind.FULL, moment - timedelta(minutes=5), moment, **more)


def logs(since, until, step, **more):
    found, begin = [], since
    while begin < until:
        found.append(made(BackupKind.LOG, begin, min(begin + step, until), **more))
        begin += step
    return found


def a_month():
    """Daily full backups for 40 days and a log in slices of 6 hours since the first of them."""
    days = [NOW - timedelta(days=n, hours=11) for n in range(40, -1, -1)]
    return [full(day) for day in days] + logs(days[0], NOW, timedelta(hours=6))


def test_a_month_of_backups_keeps_what_the_policy_promises():
    everything = a_month()
    plan = retention.prune(everything, POLICY, NOW)
    left = [m for m in everything if m.id in plan.keep]
    assert not plan.refused
    assert sorted(m.id for m in (*left, *plan.delete)) == sorted(m.id for m in everything)
    fulls = [m for m in left if m.kind is BackupKind.FULL]
    assert len(fulls) == 30 and all(NOW - m.finished <= timedelta(days=30) for m in fulls)
    reached = retention.reachable(left, "mongodb")
    week = NOW - timedelta(days=7)
    assert retention.gaps(reached, week, NOW) == (), "every second of the last seven days is reachable"
    assert 25 <= len([m for m in left if m.kind is BackupKind.LOG]) <= 40, "and not much more of the log is kept"


def test_a_slice_keeps_its_base_and_what_lies_between_however_old():
    base = full(NOW - timedelta(days=50))
    chain = logs(base.finished, NOW, timedelta(days=1))
    plan = retention.prune([base, *chain, full(NOW - timedelta(days=1, seconds=7), timeline="another")], POLICY, NOW)
    assert base.id in plan.keep and all(piece.id in plan.keep for piece in chain)
    assert plan.delete == ()
    assert "needs it" in plan.keep[base.id]


def test_slices_that_lead_nowhere_go_when_they_are_old():
    orphan = made(BackupKind.LOG, NOW - timedelta(days=20), NOW - timedelta(days=19))
    plan = retention.prune([orphan, full(NOW - timedelta(days=1))], POLICY, NOW)
    assert plan.delete == (orphan,)


def test_the_newest_base_stays_and_nothing_goes_when_even_it_has_expired():
    """Either the clock is wrong, or backups have stopped long ago: in both cases the last thing to do is to delete."""
    old = [full(NOW - timedelta(days=n)) for n in (90, 60, 40)]
    plan = retention.prune(old, POLICY, NOW)
    assert plan.delete == ()
    assert "check this clock" in plan.refused["mongodb"]
    other = made(BackupKind.SNAPSHOT, NOW - timedelta(days=9), NOW - timedelta(days=9), store="redis")
    fresh = made(BackupKind.SNAPSHOT, NOW, NOW, store="redis")
    assert retention.prune([*old, other, fresh], POLICY, NOW).delete == (other,), "other stores are not concerned"


def test_a_backup_from_the_future_evicts_nothing():
    poisoned = full(NOW + timedelta(days=4000))
    good = [full(NOW - timedelta(days=n)) for n in (45, 20, 1)]
    plan = retention.prune([*good, poisoned], POLICY, NOW)
    assert plan.delete == ()
    assert "from the future" in plan.refused["mongodb"]


def test_what_is_held_and_what_the_policy_does_not_know_stays():
    old, fresh = full(NOW - timedelta(days=45)), full(NOW)
    assert retention.prune([old, fresh], POLICY, NOW).delete == (old,)
    assert retention.prune([old, fresh], POLICY, NOW, {old.id}).delete == ()
    strange = dataclasses.replace(old, store="postgres", id="strange")
    assert retention.prune([strange], POLICY, NOW).delete == ()


def test_pruning_twice_does_nothing_more():
    everything = a_month()
    gone = {m.id for m in retention.prune(everything, POLICY, NOW).delete}
    left = [m for m in everything if m.id not in gone]
    assert gone and retention.prune(left, POLICY, NOW).delete == ()


def test_no_prune_at_any_time_takes_a_promised_moment_away():
    """Random backups and random times: what was reachable within the window stays reachable."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    for _ in range(200):
        begin = NOW - timedelta(days=generator.uniform(1, 60))
        everything, moment = [full(begin)], begin
        while moment < NOW:
            step = timedelta(hours=generator.uniform(1, 30))
            if generator.random() < 0.9:  # else a gap
                everything.append(made(BackupKind.LOG, moment, min(moment + step, NOW)))
            moment += step
            if generator.random() < 0.3 and moment < NOW:
                everything.append(full(moment))
        plan = retention.prune(everything, POLICY, NOW)
        left = [m for m in everything if m.id in plan.keep]
        since = NOW - timedelta(days=7)
        before = retention.gaps(retention.reachable(everything, "mongodb"), since, NOW)
        assert retention.gaps(retention.reachable(left, "mongodb"), since, NOW) == before


def test_deleting_any_artefact_turns_exactly_the_predicted_seconds_red():
    """The map against the restore's own choice of a chain, second by second."""
    start = NOW - timedelta(seconds=120)
    everything = [full(start), full(start + timedelta(seconds=61)), *logs(start, NOW, timedelta(seconds=17))]
    for gone in everything:
        left = [m for m in everything if m is not gone]
        reached = retention.reachable(left, "mongodb")
        red = retention.gaps(reached, start, NOW)
        for second in range(121):
            moment = start + timedelta(seconds=second)
            predicted = any(r.since <= moment <= r.until for r in reached)
            assert predicted == leads_to(left, moment), f"without {gone.id}, at {second} s"
            assert predicted or any(begin <= moment <= end for begin, end in red)


def leads_to(manifests, moment):
    """Whether some base and its slices lead there: by the function that restores use."""
    for base in (m for m in manifests if m.kind is BackupKind.FULL):
        try:
            chain = backup.chain_to([base, *(m for m in manifests if m.kind is BackupKind.LOG)], "mongodb", at(moment))
        except errors.LogGap:
            continue
        return bool(chain)
    return False


def test_partial_backups_change_nothing_for_chains_maps_and_retention():
    """Random catalogues with and without partial backups among them, often the newest of all."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    for _ in range(10):
        begin = NOW - timedelta(days=generator.uniform(1, 60))
        ends = sorted(begin + (NOW - begin) * generator.random() for _ in range(generator.randrange(1, 6)))
        whole = [full(begin), *map(full, ends), *logs(begin, NOW, (NOW - begin) / 40)]
        moments = [NOW, *(begin + (NOW - begin) * generator.random() for _ in range(5))]
        parts = [
            dataclasses.replace(made(BackupKind.PARTIAL, m - timedelta(minutes=5), m, name=f"partial-{n}"), scope=("app.orders",))
            for n, m in enumerate(moments)
        ]
        everything = sorted([*whole, *parts], key=lambda m: m.finished)
        for moment in moments:
            assert backup.chain_to(everything, "mongodb", at(moment)) == backup.chain_to(whole, "mongodb", at(moment))
            assert backup.chain_at(everything, "mongodb", moment) == backup.chain_at(whole, "mongodb", moment)
        assert backup.newest_base(everything, "mongodb") == backup.newest_base(whole, "mongodb")
        assert retention.reachable(everything, "mongodb") == retention.reachable(whole, "mongodb")
        plan, without = retention.prune(everything, POLICY, NOW), retention.prune(whole, POLICY, NOW)
        assert [m for m in plan.delete if m not in parts] == list(without.delete)
        young = {m.id for m in parts if plan.refused or NOW - m.finished <= timedelta(days=30)}
        assert young == {m.id for m in parts if m.id in plan.keep}, "kept as long as a full one"
        assert backup.chain_from(parts[0], everything).backups == (parts[0],)
    assert retention.reachable(parts, "mongodb") == ()


@pytest.mark.parametrize("missing", [0, 1])
def test_a_gap_is_shown(missing):
    pieces = logs(NOW - timedelta(hours=3), NOW, timedelta(hours=1))
    base = full(NOW - timedelta(hours=3))
    lost = pieces.pop(missing)
    reached = retention.reachable([base, *pieces], "mongodb")
    assert retention.gaps(reached, base.finished, NOW) == ((lost.started, NOW),)


def test_a_moment_is_reached_by_the_last_sealed_point_before_it():
    start = NOW - timedelta(minutes=10)
    everything = [full(start), *logs(start, NOW, timedelta(minutes=1)), full(NOW - timedelta(minutes=2, seconds=30))]
    chain = backup.chain_at(everything, "mongodb", NOW - timedelta(minutes=4, seconds=20))
    assert chain.base is everything[0]
    assert chain.end == at(NOW - timedelta(minutes=5))
    assert backup.chain_at(everything, "mongodb", NOW - timedelta(minutes=2)).base is everything[-1], "the newest base that is early enough"
    assert backup.chain_at(everything, "mongodb", start).logs == ()
    with pytest.raises(errors.LogGap, match="no full backup"):
        backup.chain_at(everything, "mongodb", start - timedelta(seconds=1))
    with pytest.raises(errors.LogGap, match="and not"):
        backup.chain_at(everything, "mongodb", NOW + timedelta(seconds=1))
    with pytest.raises(errors.LogGap, match="and not"):
        backup.chain_at([m for m in everything if m is not everything[4]], "mongodb", NOW - timedelta(minutes=4))


def test_a_position_is_looked_for_in_the_newest_history_that_holds_it():
    old = [full(NOW - timedelta(hours=2), timeline="old"), *logs(NOW - timedelta(hours=2), NOW, timedelta(hours=1), timeline="old")]
    new = [full(NOW - timedelta(hours=1), timeline="new")]
    asked = at(NOW - timedelta(minutes=30)).sequence
    assert backup.chain_to_sequence(old + new, "mongodb", asked).end.timeline == "old"
    new += logs(NOW - timedelta(hours=1), NOW, timedelta(hours=1), timeline="new")
    assert backup.chain_to_sequence(old + new, "mongodb", asked).end.timeline == "new"
    with pytest.raises(errors.LogGap):
        backup.chain_to_sequence(old + new, "mongodb", at(NOW + timedelta(hours=1)).sequence)
    with pytest.raises(errors.LogGap):
        backup.chain_to_sequence([], "mongodb", asked)
