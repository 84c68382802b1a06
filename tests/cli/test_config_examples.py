"""The examples of configurations are right, by the command that people check theirs with, and by the schema."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from drplatform.model import config, config_schema

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
NAMES = ("embedded", "kind", "staging", "production")


def references(found):
    places = [*found.stores.values()] + ([] if isinstance(found.repository, str) else [found.repository])
    return [p.password for p in places if p.password] + [ref for way in found.alerts for ref in way.secrets.values()]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_right(home, monkeypatch, name):
    content = (EXAMPLES / f"{name}.yaml").read_text()
    document = yaml.safe_load(content)
    Draft202012Validator(config_schema.schema()).validate(document)
    file = home.write(f"{name}.yaml", content)
    secrets = references(config.parse(document))
    if "kubernetes" in document["stores"]:
        monkeypatch.setenv("DRPLATFORM_POLICY", str(EXAMPLES.parents[1] / "deploy/base/policy.yaml"))
    lacking = home("config", "check", file)
    for ref in secrets:
        if ref.source == "env":
            monkeypatch.setenv(ref.name, "a-secret")
        else:
            (home.directory / ref.name).parent.mkdir(exist_ok=True)
            home.write(ref.name, "a-secret")
    assert lacking.code == (2 if secrets else 0), "a secret that is not there is told"
    told = home("config", "check", file)
    assert told.code == 0 and "is right" in told.out, told.err
    assert "kept for" in home("config", "explain", file).out


def test_there_is_no_other_example():
    assert {path.stem for path in EXAMPLES.iterdir()} == set(NAMES)
