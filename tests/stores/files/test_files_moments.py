"""How S3 servers tell the time."""

from datetime import UTC, datetime

import pytest

from drplatform.stores.files import fetch

MOMENT = datetime(2026, 11, 30, 5, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-30T05:00:00.000Z",
        "2026-11-30T05:00:00+00:00",
        "2026-11-30T07:00:00+02:00",
        "Mon, 30 Nov 2026 05:00:00 GMT",
        "Mon, 30 Nov 2026 05:00:00 +0000",
        "Monday, 30-Nov-26 05:00:00 GMT",
        "Mon Nov 30 05:00:00 2026",
        1796014800,
        "1796014800",
    ],
)
def test_a_moment_is_the_same_in_all_forms_that_http_and_s3_have(told):
    assert fetch.moment(told) == MOMENT


@pytest.mark.parametrize("told", ["", "nonsense", None])
def test_what_is_no_moment_is_refused(told):
    with pytest.raises(ValueError, match="no time"):
        fetch.moment(told)
