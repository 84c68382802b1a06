"""One moment for all stores: what dangles is found, what does not is not, and the backups chosen never make it."""

import random
from datetime import UTC, datetime

import pytest

from drplatform.model import consistency, errors
from drplatform.model.backup import BackupKind, Manifest
from drplatform.model.ledger import Entry, Mark, Outcome
from drplatform.model.position import Position

STORES = ("mongodb", "redis", "files")
END = 100.0


def write(store, number, at, outcome=Outcome.ACKED):
    return Entry(store, Mark("c", number, "d"), at, at + 0.01, outcome)


WRITTEN = [write(store, n, n + 0.1 * i) for i, store in enumerate(STORES) for n in range(1, 50)]


def kept(**until):
    """What each store holds: its writes up to that number."""
    return {store: {("c", n) for n in range(1, until.get(store, 49) + 1)} for store in STORES}


def test_stores_that_lost_nothing_are_consistent():
    assert consistency.dangling(WRITTEN, kept(), END) == [] and consistency.skew(WRITTEN, kept(), END) == 0


def test_a_document_must_not_name_an_object_that_is_gone():
    (found,) = [d for d in consistency.dangling(WRITTEN, kept(files=40), END) if d.referring == "mongodb"]
    assert (found.referred, found.missing.number, found.references) == ("files", 41, 8)
    assert found.seconds == pytest.approx(49 - 41.21)
    assert "mongodb may refer to what files has lost (first c/41)" in str(found)


def test_a_referred_store_may_be_newer():
    present = kept(redis=30, mongodb=35, files=40)
    assert consistency.dangling(WRITTEN, present, END) == []
    assert consistency.skew(WRITTEN, present, END) == pytest.approx(40.2 - 31.11)


def test_a_cache_must_not_be_newer_than_the_database():
    assert [(d.referring, d.referred) for d in consistency.dangling(WRITTEN, kept(mongodb=45), END)] == [("redis", "mongodb")]


def test_unknown_writes_and_those_after_the_disaster_do_not_count():
    unknown = [*WRITTEN, write("files", 90, 10.0, Outcome.INDETERMINATE)]
    assert consistency.dangling(unknown, kept(), END) == []
    after = [*WRITTEN, write("files", 91, END - 1), write("mongodb", 92, END + 1)]
    present = {**kept(), "mongodb": kept()["mongodb"] | {("c", 92)}}
    assert consistency.dangling(after, present, END) == []
    assert consistency.dangling(after, present, END + 5), "the same, had it been before the disaster"


def test_every_random_cut_that_breaks_the_order_is_found():
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    for _ in range(300):
        cut = {s: generator.randint(0, 49) for s in STORES}
        expected = any(cut[b] < 49 and cut[a] > cut[b] for a, b in consistency.REFERENCES if a in cut and b in cut)
        slack = any(cut[a] == cut[b] + 1 for a, b in consistency.REFERENCES if a in cut and b in cut)  # at the same moment, nearly
        if not slack:
            assert bool(consistency.dangling(WRITTEN, kept(**cut), END)) == expected, cut


# -- which backups ----------------------------------------------------------------------------------------------------------------


def manifest(store, kind, begin, end):
    def at(moment):
        return Position(store, (round(moment * 10),), moment)

    when = datetime.fromtimestamp(end, UTC)
    return Manifest(f"{store}-{kind}-{end}", store, store, kind, store, at(begin), at(end), when, when, (), {}, (), {}, {}, {})


def history(store, base, *ends):
    """A base and slices of the log that follow it."""
    kind = BackupKind.SNAPSHOT if store == "redis" else BackupKind.FULL
    begins = (base, *ends)
    return [manifest(store, kind, base, base), *(manifest(store, BackupKind.LOG, b, e) for b, e in zip(begins, ends, strict=False))]


FILES = [manifest("files", BackupKind.FULL, 14.5, 16.5)]
MONGODB = history("mongodb", 10.5, 11.5, 12.5, 13.5, 14.25, 15.5, 16.5)
REDIS = history("redis", 10.25, 11.25, 12.75, 13.75, 14.1, 14.4, 15.25)


def test_no_store_is_newer_than_one_that_it_refers_to():
    found = consistency.cuts([*FILES, *MONGODB, *REDIS], STORES)
    assert found["mongodb"].end.at == 14.25, "the files' backup began at 14.5"
    assert found["redis"].end.at == 14.1
    assert list(found["files"].backups) == FILES


def test_a_history_of_whole_seconds_keeps_a_second_away():
    whole = history("mongodb", 10.0, 11.0, 12.0, 13.0, 14.0, 15.0)
    assert consistency.cuts([*FILES, *whole], ("files", "mongodb"))["mongodb"].end.at == 13.0


def test_without_files_the_logs_go_to_their_ends():
    found = consistency.cuts([*MONGODB, *REDIS], ("redis", "mongodb"))
    assert found["mongodb"].end.at == 16.5 and found["redis"].end.at == 15.25


def test_a_store_without_an_early_enough_backup_is_told():
    with pytest.raises(errors.LogGap, match="No backup of mongodb ends before the moment"):
        consistency.cuts([*FILES, *history("mongodb", 15.5, 16.5)], ("files", "mongodb"))
    with pytest.raises(errors.LogGap, match="no full backup of files"):
        consistency.cuts(MONGODB, ("files", "mongodb"))
