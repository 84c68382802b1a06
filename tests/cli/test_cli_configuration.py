"""`drplatform configuration` on backups of a directory: what changed is told, what is secret never is, in no form and by no command."""

import base64
import json

import pytest
import secret_scan
import yaml

CANARIES = {
    "manifest": "canary+manifest/4f1a~", "environment": "canary+environment/88ce~", "secret": "canary+secret/c3d9~", "key": "canary+key/51b0~",
    "embedded": "canary+embedded/7c7e~",
}  # fmt: skip
CONFIGURATION = "stores: {configuration: {options: {directory: live}}}\nrepository: {directory: vault}\n"


def manifest(password, replicas=2):
    env = [{"name": "PASSWORD", "value": password}]
    spec = {"replicas": replicas, "template": {"spec": {"containers": [{"name": "api", "env": env}]}}}
    return yaml.safe_dump({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"}, "spec": spec})


@pytest.fixture
def protected(home):
    """A home with a live configuration full of canaries, and keys."""
    for name in ("manifests", "environment", "secrets"):
        (home.directory / "live" / name).mkdir(parents=True)
    home.write("drplatform.yaml", CONFIGURATION)
    fill(home, "")
    assert home("keys", "generate").code == 0
    return home


def fill(home, suffix):
    home.write("live/manifests/api.yaml", manifest(CANARIES["manifest"] + suffix))
    encoded = base64.b64encode((CANARIES["embedded"] + suffix).encode()).decode()
    home.write("live/manifests/hidden.yaml", json.dumps({"kind": "Secret", "data": {"p": encoded}}))
    home.write("live/environment/production.env", f"DATABASE=postgres://u:{CANARIES['environment']}{suffix}@db\n")
    home.write("live/secrets/api.env", f"TOKEN={CANARIES['secret']}{suffix}\n")
    home.write("live/secrets/api.key", (CANARIES["key"] + suffix).encode())


def take(home):
    told = home("backups", "take", "configuration", "full", "--config", "drplatform.yaml")
    assert told.code == 0, told.err
    return told, told.out.split()[0]


def test_differences_are_told_and_no_secret_is(protected):
    live = protected.directory / "live"
    assert set().union(*secret_scan.found_below(live, CANARIES).values()) == set(CANARIES), "planted: the scanner finds each where it is"
    said = []
    told, first = take(protected)
    said.append(told)
    same = protected("configuration", "diff", first, "--config", "drplatform.yaml")
    assert (same.code, same.out) == (0, "No difference.\n")
    fill(protected, "-changed")
    protected.write("live/manifests/new.yaml", "a: 1\n")
    (protected.directory / "live/secrets/api.key").unlink()
    drift = protected("configuration", "diff", first, "--config", "drplatform.yaml")
    told, second = take(protected)
    between = protected("configuration", "diff", first, second, "--config", "drplatform.yaml")
    assert drift.code == between.code == 1
    assert drift.out == between.out
    assert drift.out.splitlines() == [
        "environment/production.env: content: (not shown) -> (not shown)",
        "manifests/api.yaml: content: (not shown) -> (not shown)",
        "manifests/hidden.yaml: content: (not shown) -> (not shown)",
        "manifests/new.yaml: not there -> new",
        "secrets/api.env: content: (not shown) -> (not shown)",
        "secrets/api.key: there -> gone",
        "6 differences",
    ]
    structured = protected("configuration", "diff", first, second, "--json", "--config", "drplatform.yaml")
    assert len(json.loads(structured.out)) == 6
    shown = protected("backups", "show", first, "--config", "drplatform.yaml")
    listed = protected("configuration", "show", first, "--config", "drplatform.yaml")
    said += [told, same, drift, between, structured, shown, listed, protected("backups", "verify", "--all", "--config", "drplatform.yaml")]
    assert listed.out == "manifests/api.yaml\n"
    everything = "\n".join(one.out + one.err for one in said).encode()
    assert not secret_scan.found_in(everything, CANARIES)
    assert secret_scan.found_below(protected.directory, CANARIES, ignoring=[live]) == {}


def test_manifests_can_be_written_out_for_kubectl_but_no_secret(protected):
    _, backup = take(protected)
    assert protected("configuration", "show", backup, "--to", "out", "--config", "drplatform.yaml").code == 0
    assert (protected.directory / "out/manifests/api.yaml").read_text() == manifest(CANARIES["manifest"])
    found = secret_scan.found_below(protected.directory / "out", CANARIES)
    assert set().union(*found.values()) == {"manifest"}, "what a manifest itself says is in the manifest; nothing else is"
    again = protected("configuration", "show", backup, "--to", "out", "--config", "drplatform.yaml")
    assert again.code == 2 and "not empty" in again.err


def test_what_cannot_be_done_is_said(protected):
    _, backup = take(protected)
    refused = protected("configuration", "check", backup, "--config", "drplatform.yaml")
    assert refused.code == 2 and "no server" in refused.err
    assert protected("configuration", "diff", "unknown", "--config", "drplatform.yaml").code == 2
    assert protected("configuration", "health", "--config", "drplatform.yaml").code == 2
    without_key = protected("configuration", "diff", backup, "--config", "drplatform.yaml", "--identity", "missing")
    assert without_key.code == 2 and without_key.err.count("\n") == 1


def test_secrets_with_recipients_of_their_own_are_sealed_from_who_opens_the_backups(protected):
    for name in ("operators.txt", "secrets.txt"):
        assert protected("keys", "generate", "--file", name).code == 0
    operators, secrets = ((protected.directory / name).read_text() for name in ("operators.txt", "secrets.txt"))
    recipients = [next(word for word in text.split() if word.startswith("age1")) for text in (operators, secrets)]
    protected.write("drplatform.yaml", CONFIGURATION + "recipients: [{}]\nsecret_recipients: [{}]\n".format(*recipients))
    protected.write("both.txt", operators + secrets)
    where = ("--config", "drplatform.yaml", "--identity")
    assert f"only {recipients[1]} can read them" in protected("config", "explain", "drplatform.yaml").out
    _, backup = take(protected)
    assert protected("backups", "verify", "--all", *where, "operators.txt").code == 0
    assert protected("configuration", "show", backup, *where, "operators.txt").out == "manifests/api.yaml\n", "nothing of it is secret"
    unsure = protected("configuration", "diff", backup, *where, "operators.txt")
    assert (unsure.code, unsure.out) == (2, "No difference among what was compared.\n") and "Not compared: secrets." in unsure.err
    live = protected.directory / "live"
    kept = {name: (live / name).read_bytes() for name in ("secrets/api.env", "environment/production.env")}
    protected.write("live/secrets/api.env", "TOKEN=another\n")
    assert protected("configuration", "diff", backup, *where, "operators.txt").code == 2, "not seen, not called equal"
    protected.write("live/environment/production.env", "DATABASE=another\n")
    _, other = take(protected)
    for against in ((), (other,)):
        changed = protected("configuration", "diff", backup, *against, *where, "operators.txt")
        assert changed.code == 1 and changed.out.splitlines()[1:] == ["1 differences among what was compared"]
        assert "environment/production.env" in changed.out and "Not compared: secrets." in changed.err
        assert protected("configuration", "diff", backup, *against, *where, "both.txt").out.splitlines()[-1] == "2 differences"
    for name, content in kept.items():
        protected.write(f"live/{name}", content)
    assert protected("keys", "check", *where, "operators.txt").code == 1
    assert protected("configuration", "diff", backup, *where, "both.txt").out == "No difference.\n"
    assert protected("keys", "check", *where, "both.txt").code == 0
    told = protected("keys", "rotate", "--secrets", "--to", recipients[0], *where, "both.txt")
    assert told.code == 0 and "2 keys of secrets" in told.out
    assert protected("keys", "check", *where, "operators.txt").code == 0
