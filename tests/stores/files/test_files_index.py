"""Lines of an index, of which an increment reads no more than it must: they say what the records say that they are of."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drplatform.model import errors
from drplatform.stores.files import index
from drplatform.stores.files.content import Header, Tally
from drplatform.stores.files.index import Known, Line, Record, Walk
from drplatform.stores.files.listing import Entry

BUCKET = "uploads"
LOOKS_LIKE_FIELDS = st.sampled_from(
    [',"size":1', '","size":1,"etag":"', '"part":""}', ',"part":', "\\", '\\"', "\x7f", "é", "\U0001f600", "a/b"]
)
TEXT = st.lists(st.one_of(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), LOOKS_LIKE_FIELDS)).map(
    "".join
)
PAIRS = st.dictionaries(TEXT, TEXT, max_size=3)
MODIFIED = st.integers(0, 4_000_000_000)
ALWAYS = {
    "key": TEXT.filter(bool),
    "size": st.integers(0, 2**40),
    "etag": TEXT,
    "modified": MODIFIED.map(lambda at: datetime.fromtimestamp(at, UTC).isoformat()),
    "content_type": TEXT,
}
HEADERS = st.builds(Header, **ALWAYS) | st.builds(
    Header,
    **ALWAYS,
    storage_class=st.sampled_from(["STANDARD", "GLACIER"]),
    properties=PAIRS,
    metadata=PAIRS,
    tags=PAIRS,
    grants=st.lists(TEXT, max_size=2).map(tuple),
)
RECORDS = st.builds(Record, header=HEADERS, sha256=st.just("ab" * 32), part=st.sampled_from(["", "content/uploads/000001"]))


def shown(header, **changes):
    """As a listing shows the object, to the millisecond."""
    moment = datetime.fromisoformat(header.modified).timestamp() + 0.25
    return replace(Entry(header.key, header.size, header.etag, moment), **changes)


@given(RECORDS, st.text(max_size=3), MODIFIED)
def test_a_line_says_what_its_record_says(record, other, moment):
    line, header = Line(record.line()), record.header
    assert line.record == record
    assert line.carried() == replace(record, part="").line()
    assert line.is_of(shown(header))
    for entry in (shown(header, size=header.size + 1), shown(header, etag=header.etag + other), shown(header, modified=float(moment))):
        assert line.is_of(entry) == record.is_of(entry)


@given(st.lists(RECORDS, max_size=5))
def test_an_object_is_found_by_its_key_whatever_that_holds(records):
    expected = {record.header.key: record for record in records}
    with Known() as known:
        known.add_current(BUCKET, (record.line() for record in records))
        assert {key: known.find(BUCKET, key) for key in expected} == expected
        assert {record.header.key: record for record in known.records(BUCKET)} == expected


@given(st.sets(st.integers(0, 400)), st.lists(st.integers(0, 400)), st.booleans())
def test_what_is_looked_up_is_found_in_whatever_order(there, asked, in_order):
    """As many as fill several pages, and what is not there; of the other bucket nothing."""
    header = Header("", 1, "e", "2026-11-30T05:00:00+00:00", "")
    records = {f"{n:03d}": Record(replace(header, key=f"{n:03d}", size=n), "ab" * 32, "") for n in there}
    with Known() as known:
        known.add_current(BUCKET, (record.line() for record in records.values()))
        known.add_current("another", [Record(replace(header, key="007"), "ab" * 32, "").line()])
        walk, other = Walk(known, BUCKET), Walk(known, "another")
        for key in (f"{n:03d}" for n in (sorted(asked) if in_order else asked)):
            found = walk.line(key)
            assert (found.record if found else None) == records.get(key)
            assert (other.line(key) is not None) == (key == "007")


@given(RECORDS)
def test_a_digest_of_lines_is_that_of_headers(record):
    of_lines, of_headers = Tally(), Tally()
    Line(record.line()).count(of_lines, BUCKET)
    of_headers.add(BUCKET, record.header, record.sha256)
    assert of_lines.digests() == of_headers.digests() and of_lines.counts() == of_headers.counts()


@pytest.mark.parametrize(
    ("key", "plain"), [("a/b c", True), (".drplatform/marks/1", True), ('a"b', False), ("\u00e9", False), ("\\", False)]
)
def test_an_object_of_which_there_is_no_more_to_say_is_counted_as_it_stands(key, plain):
    record = Record(Header(key, 7, '"e"', "2026-11-30T05:00:00+00:00", "text/plain"), "ab" * 32, "content/uploads/000001")
    assert bool(index._PLAIN.match(record.line())) == plain
    for more in ({"metadata": {"a": "b"}}, {"storage_class": "GLACIER"}, {"age": 1}, {"version": "v"}):
        assert not index._PLAIN.match(replace(record, header=replace(record.header, **more)).line())
    of_lines, of_headers = Tally(), Tally()
    Line(record.line()).count(of_lines, BUCKET)
    of_headers.add(BUCKET, record.header, record.sha256)
    assert of_lines.digests() == of_headers.digests() and of_lines.counts() == of_headers.counts()


def test_a_modification_told_in_another_form_is_the_same_moment():
    header = Header("a", 1, "e", "2026-11-30T05:00:00Z", "")
    assert Line(Record(header, "", "").line()).is_of(shown(header))


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"no line", b'{"key":7,"size":1}', b'{"size":1,"key":"a"}', b'{"key":"a"}'])
def test_a_line_that_is_no_record_is_not_trusted(line):
    with Known() as known, pytest.raises(errors.IntegrityError, match="do not trust"):
        known.add_current(BUCKET, [line])


@pytest.mark.parametrize(
    ("whole", "spoilt"), [(b"a/b", b"a\xff"), (b"a/b", b"a\n"), (b'"size":7', b'"size":07'), (b"text/", b"t\0xt/"), (b"e-tag", b"\xc3\xa9")]
)
def test_a_plain_line_that_is_not_as_lines_are_written_is_not_counted(whole, spoilt):
    line = Record(Header("a/b", 7, '"e-tag"', "2026-11-30T05:00:00+00:00", "text/plain"), "ab" * 32, "").line()
    Line(line).count(Tally(), BUCKET)
    assert whole in line
    with pytest.raises(errors.IntegrityError, match="do not trust"):
        Line(line.replace(whole, spoilt)).count(Tally(), BUCKET)


@pytest.mark.parametrize("line", [b'{"key":"a","size":1}', b"[1]", b'{"key":"a","size":1'])
def test_what_lacks_fields_is_not_carried_on(line):
    with pytest.raises(errors.IntegrityError, match="do not trust"):
        Line(line).count(Tally(), BUCKET)
    with pytest.raises(errors.IntegrityError, match="do not trust"):
        Line(line).carried()
