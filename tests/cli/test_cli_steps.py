"""`steps`: the step library as it is, whole or searched, as text or as Markdown."""

from drplatform.engine import phrases


def test_every_sentence_is_listed_with_what_may_stand_in_it(home):
    told = home("steps")
    assert told.code == 0, told.err
    assert all(p.pattern in told.out and p.meaning in told.out for p in phrases.PHRASES)
    assert all(word in told.out for word in (*phrases.STORES, *phrases.TARGETS, "incremental"))


def test_it_can_be_searched_and_printed_as_a_table(home):
    found = home("steps", "--find", "one consistent MOMENT", "--markdown").out
    assert "| Then | `the stores hold one consistent moment` |" in found and found.count("| Then |") == 1
    assert home("steps", "--find", "nothing of the kind").code == 0
