"""Where containers are and what cuts them apart, without an engine; and how the image is built."""

import ipaddress
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from drplatform import environment
from drplatform.engine import capabilities
from drplatform.model import drill, errors
from drplatform.model.powers import CLIENTS, Hindrance
from drplatform.platforms.docker import DockerPlatform, images, network
from drplatform.platforms.docker.network import Networks

DIRECTORY = Path("/tmp/0a1b2c3d")


class Legs:
    """What an engine would be told."""

    def __init__(self, taken=()):
        self.taken, self.on, self.cleared = set(taken), {}, 0

    def make_network(self, name, subnet, platform):
        return subnet not in self.taken

    def clear(self, platform):
        self.cleared += 1

    def leave(self, name, container):
        self.on[container].remove(name)

    def join(self, name, container, address):
        self.on[container].add(name)

    def networks_of(self, container):
        return frozenset(self.on[container])


@pytest.fixture
def drawn():
    return network.drawn(frozenset({"witness", "names"}))


@pytest.fixture
def made(drawn):
    legs = Legs()
    networks = Networks(DIRECTORY, (*drawn.servers, drawn.vault, drawn.names), legs)
    legs.on = {f"c-{p.name}": set(networks.addresses(p)) for p in drawn.servers}
    return networks, legs, {p.name: f"c-{p.name}" for p in drawn.servers}


def test_every_address_is_one_server_and_its_leg_in_another_region_another(drawn, made):
    networks, _, _ = made
    places = (*drawn.servers, drawn.vault, drawn.names)
    found = [address for place in places for address in networks.addresses(place).values()]
    assert len(set(map(ipaddress.IPv4Address, found))) == len(found)
    for place in places:
        own, *legs = networks.addresses(place).items()
        assert own == (f"drplatform-0a1b2c3d-{place.region}", place.host)
        assert len(legs) == (2 if place in drawn.servers else 0), "in both other regions; the vault and the names are outside"
        subnet = {name: next(p.host for p in places if name.endswith(p.region)).rpartition(".")[0] for name, _ in legs}
        assert all(address.rpartition(".")[0] == subnet[name] for name, address in legs)


def test_a_partition_takes_legs_away_and_healing_brings_them_back(made):
    networks, legs, containers = made
    before = {name: set(there) for name, there in legs.on.items()}
    cut = Hindrance("cut", ("primary",), ("secondary",))
    networks.hinder(cut, containers)
    assert networks.hindered(containers) == cut
    assert "drplatform-0a1b2c3d-secondary" not in legs.on["c-mongodb-primary-1"]
    assert "drplatform-0a1b2c3d-primary" not in legs.on["c-mongodb-secondary-1"]
    assert legs.on["c-mongodb-witness-1"] == before["c-mongodb-witness-1"], "the witness sees both"
    networks.hinder(Hindrance("cut", ("primary",), ("secondary",), ("redis",), one_way=True), containers)
    changed = {name for name, there in legs.on.items() if there != before[name]}
    assert changed == {"c-redis-primary-1"}
    legs.on["c-redis-primary-1"].add("drplatform-0a1b2c3d-secondary")  # somebody has put it back
    assert networks.hindered(containers) is None
    networks.unhinder(containers)
    assert legs.on == before and networks.hindered(containers) is None


def test_servers_that_are_cut_from_their_clients_leave_their_own_network_too(made):
    networks, legs, containers = made
    before = {name: set(there) for name, there in legs.on.items()}
    cut = Hindrance("cut", ("secondary", "witness", CLIENTS), ("primary",), ("redis",))
    networks.hinder(cut, containers)
    assert networks.hindered(containers) == cut
    assert not legs.on["c-redis-primary-1"] and legs.on["c-mongodb-primary-1"] == before["c-mongodb-primary-1"]
    assert "drplatform-0a1b2c3d-secondary" in legs.on["c-redis-secondary-1"], "clients of the other region are served"
    networks.unhinder(containers)
    assert legs.on == before and networks.hindered(containers) is None


def test_a_cut_from_where_nobody_is_counts_as_none(made):
    networks, _, containers = made
    networks.hinder(Hindrance("cut", ("elsewhere",), ("primary",), ("redis",)), containers)
    assert networks.hindered(containers) is None


@pytest.mark.parametrize(
    "hindrance", [Hindrance("slow", ("primary",), ("secondary",), seconds=1), Hindrance("cut", (CLIENTS,), ("primary",), one_way=True)]
)
def test_what_networks_cannot_do_is_refused(made, hindrance):
    networks, legs, containers = made
    before = {name: set(there) for name, there in legs.on.items()}
    with pytest.raises(errors.SettingsError, match="use the embedded platform"):
        networks.hinder(hindrance, containers)
    assert legs.on == before


class Cutting:
    """What a plan sees of the Docker platform without an engine."""

    hindrances, carrier = DockerPlatform.hindrances, DockerPlatform.carrier
    one_way_for_clients = DockerPlatform.one_way_for_clients
    regions = tuple(SimpleNamespace(name=name, instances=[]) for name in ("primary", "secondary"))
    hinder = unhinder = hindered = Networks.hindered


@pytest.mark.parametrize(
    ("parameters", "lacking"),
    [
        ({}, ""),
        ({"one_way": True, "sources": ("secondary",)}, ""),
        ({"one_way": True}, f"{drill.ONE_WAY}:primary"),
        ({"one_way": True, "sources": ("secondary", CLIENTS)}, f"{drill.ONE_WAY}:primary"),
        ({"sources": ("elsewhere", CLIENTS)}, "hinderable:elsewhere"),
    ],
)
def test_what_networks_cannot_do_is_refused_when_it_is_planned(parameters, lacking):
    found = environment.fault("network-cut")(**parameters).needs() - capabilities.offered(Cutting(), {}, ())
    assert found == ({lacking} if lacking else set())


def test_the_plan_says_what_to_do_instead_of_a_cut_that_cannot_be():
    assert "cut it both ways" in drill.told({f"{drill.ONE_WAY}:primary"})


def test_a_taken_subnet_keeps_nothing(drawn):
    taken = drawn.vault.host.rpartition(".")[0] + ".0/24"
    legs = Legs({taken})
    assert not Networks(DIRECTORY, (*drawn.servers, drawn.vault), legs).make()
    assert legs.cleared == 1


def test_a_service_gets_an_address_of_its_own(drawn, made):
    networks, _, _ = made
    before = {place.name: networks.addresses(place) for place in drawn.servers}
    first, second = (networks.add("primary", name, "service", {"public": 8080}) for name in ("api", "worker"))
    hosts = {p.host for p in (*drawn.servers, drawn.vault, drawn.names)}
    assert first.host != second.host and not {first.host, second.host} & hosts
    assert before == {place.name: networks.addresses(place) for place in drawn.servers}, "nobody moves"


def test_the_image_is_built_from_the_repository(tmp_path):
    context = Path(__file__).parents[2]
    command = images.command(context, "mine:1", "base:2", "host")
    assert command[:2] == ["docker", "build"] and command[-1] == str(context)
    assert "BASE=base:2" in command and "mine:1" in command and command[command.index("--network") + 1] == "host"
    assert images.command(context) == [
        "docker",
        "build",
        "--file",
        str(context / images.RECIPE),
        "--tag",
        "drplatform-servers",
        str(context),
    ]
    with pytest.raises(errors.SettingsError, match="in a copy of the drplatform repository"):
        images.command(tmp_path)


def test_a_layout_survives_its_file(drawn, tmp_path):
    drawn.save(tmp_path)
    assert type(drawn).load(tmp_path) == drawn
    assert json.loads((tmp_path / "platform.json").read_text())["vault"]["host"].startswith("10.")
