"""Game days on real servers, played by a person who looks, decides rightly and follows the runbook."""

import os
import random

import pytest

from drplatform import exercises
from drplatform.engine import gameday
from drplatform.environment import Environment, Settings
from drplatform.model.verdict import Verdict


class Adept:
    """Looks until a store is not served, then knows what to do."""

    def __init__(self, incident: gameday.Incident) -> None:
        self.incident, self.told, self.names = incident, [""], iter(("Ada", "Grace"))

    def tell(self, text: str) -> None:
        self.told.append(text)

    def ask(self, prompt: str) -> str:
        if "see" in prompt:
            return "detected" if "NOT served" in self.told[-1] else "status"
        if "do?" in prompt:
            return f"{self.incident.cure} {' '.join(self.incident.stores)}"
        return next(self.names) if "name" in prompt else "go"


def seeds() -> dict[str, int]:
    """One seed for each cure."""
    found: dict[str, int] = {}
    for seed in range(100):
        found.setdefault(gameday.draw(random.Random(seed), 5.0).cure, seed)
    return found


@pytest.mark.soak
@pytest.mark.parametrize("cure", [gameday.RECOVER, gameday.RESTART])
def test_a_person_who_follows_the_runbook_passes(tmp_path, cure):
    (tmp_path / "scratch").mkdir()
    places = {"DRPLATFORM_STATE": str(tmp_path / "state"), "DRPLATFORM_SCRATCH": str(tmp_path / "scratch")}
    env = Environment.open(Settings.read({**os.environ, **places, "DRPLATFORM_SEED": str(seeds()[cure])}))
    person = Adept(gameday.draw(env.random(), 5.0))
    assert person.incident.cure == cure
    with exercises.game_day(env, person, 5.0) as (day, running):
        evidence, times = day.play(running)
    assert evidence.verdict is Verdict.PASSED, (evidence.summary, evidence.doubts, evidence.checks)
    assert times.wrong_decisions == 0 and {e["name"] for e in evidence.to_json()["timeline"]} >= {"gameday.detected", "gameday.signed"}
