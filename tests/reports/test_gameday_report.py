"""The report of a game day names times, mistakes and signatures."""

import dataclasses

import example

from drplatform.model.clock import Interval
from drplatform.reports import gameday, prose


def test_it_tells_times_mistakes_and_who_signed():
    signed = {"name": "gameday.signed", "t": 30.0, "utc": "2026-11-23T14:11:24+00:00", "detail": {"role": "verified", "who": "Grace <b>"}}
    evidence = dataclasses.replace(example.passed(), timeline=(*example.timeline(), signed))
    made = gameday.document(evidence, {"detect": Interval(3.1, 3.2), "repair": Interval(20, 20)}, {"false alarms": 2})
    text = prose.markdown(made)
    assert "| verified | Grace <b> | 2026-11-23T14:11:24 |" in text and "false alarms: 2" in text and "3.1" in text
    assert "Grace <b>" not in prose.page(made)
