"""A network of network namespaces: each server has one of its own, and a router between them says what passes.

Everything that is sent between servers, and between them and this machine, goes through the router, a namespace too. So a cut is a cut: it holds for
what a server dials and for what is dialled to it, for packets that are under way and for connections that have long been there.

A namespace lives as long as a process in it. Here that is one that sleeps, tagged as the platform's: whoever clears the platform's processes clears its
network with them. Needs root (or CAP_NET_ADMIN and CAP_SYS_ADMIN), iproute2, nftables and util-linux.
"""

import json
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from drplatform.model import errors, whole
from drplatform.model.powers import CLIENTS, CUT, RESET, Hindrance
from drplatform.platforms.embedded import layout
from drplatform.platforms.embedded.process import TAG, Pid, Waits

HINDRANCES = frozenset({CUT, RESET})
"""What is slow, lossy or narrow would take a kernel with netem, which many have not; proxies do that."""
PROGRAMS = ("ip", "nft", "nsenter", "unshare", "ss")
_ADMIN = (12, 21)
"""The numbers of CAP_NET_ADMIN and CAP_SYS_ADMIN (capabilities(7))."""
NOTE = "namespaces.json"
ROUTER = "router"
_BLOCK = "198.18"
"""Of the addresses that are set aside for tests of networks (RFC 2544)."""
_FIRST = 10
_GATEWAY, _MACHINE = 1, 2
_TABLE = "inet drplatform"
SECONDS = 10.0
"""How long a program that changes the network may take."""


def missing() -> str:
    """Why this machine cannot have such a network; empty when it can."""
    if lacking := [program for program in PROGRAMS if not shutil.which(program)]:
        return f"{', '.join(lacking)} not found"
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    if not all(int(effective.split()[1], 16) >> number & 1 for number in _ADMIN):
        return "neither root nor CAP_NET_ADMIN and CAP_SYS_ADMIN"
    return ""


def drawn(wanted: frozenset[str]) -> layout.Layout:
    """A layout with an address for each server of the regions; the vault and the names stay on loopback, outside what can be cut."""
    base, block = layout.draw(wanted), f"{_BLOCK}.{secrets.randbelow(254) + 1}"
    return replace(base, servers=tuple(replace(place, host=f"{block}.{_FIRST + number}") for number, place in enumerate(base.servers)))


class Namespaces:
    """The network of one platform. `places` grows when services are deployed."""

    def __init__(self, platform: Path, places: Iterable[layout.Place], waits: Waits) -> None:
        self._platform, self._places, self._waits = platform, list(places), waits
        self._holders: dict[str, Pid] = {}
        self._children: list[subprocess.Popen[bytes]] = []
        self._hindrance: Hindrance | None = None
        self._lock = threading.Lock()

    def make(self) -> None:
        """Raises StoreError when the machine refuses, with what it said; nothing is left then."""
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        self._hold(ROUTER)
        link = f"drp{self._block.rpartition('.')[2]}-{self._platform.name[:6]}"
        here = [
            f"link add {link} type veth peer name machine netns {self._holders[ROUTER].number}",
            f"addr add {self._address(_MACHINE)}/32 dev {link}",
            f"link set {link} up",
            f"route add {self._address(_GATEWAY)}/32 dev {link}",
            f"route add {self._block}.0/24 via {self._address(_GATEWAY)} src {self._address(_MACHINE)}",
        ]
        there = [
            "link set lo up",
            f"addr add {self._address(_GATEWAY)}/32 dev lo",
            "link set machine up",
            f"route add {self._address(_MACHINE)}/32 dev machine",
        ]
        _run(["ip", "-batch", "-"], "\n".join(here))
        self._in(ROUTER, ["ip", "-batch", "-"], "\n".join(there))
        self._in(ROUTER, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        for place in self._places:
            self._connect(place)
        self._note()

    def add(self, region: str, name: str, kind: str, ports: Mapping[str, int]) -> layout.Place:
        """A further place in the region, with a namespace of its own."""
        with self._lock:
            number = _FIRST + len(self._places)
            if number > 254:
                raise errors.SettingsError(f"The network has no address left for {name}.")
            place = layout.Place(name, kind, region, self._address(number), ports)
            self._places.append(place)
            self._connect(place)
            self._note()
            return place

    def within(self, place: layout.Place) -> Sequence[str]:
        """What to put before a command that is to run in the place's namespace."""
        return ("nsenter", f"--net=/proc/{self._holders[place.name].number}/ns/net", "--") if place.name in self._holders else ()

    # -- hindering ---------------------------------------------------------------------------------------------------------------

    def hinder(self, hindrance: Hindrance) -> None:
        """In force on return. Raises SettingsError for what the router cannot do."""
        if hindrance.how not in HINDRANCES:
            raise errors.SettingsError(f"A network of namespaces can {' and '.join(sorted(HINDRANCES))}; {hindrance.how} is for proxies.")
        self.unhinder()
        self._in(ROUTER, ["nft", "-f", "-"], self._rules(hindrance))
        self._hindrance = hindrance

    def unhinder(self) -> None:
        """Connections that were stuck are ended at both ends, which else find out when they send again, minutes later at the worst."""
        was, self._hindrance = self._hindrance, None
        self._in(ROUTER, ["nft", "-f", "-"], f"add table {_TABLE}\ndelete table {_TABLE}\n")
        if was is not None:
            sources, targets = self._sides(was)
            for place in self._places:
                for one, others in ((targets, sources), (sources, targets)):
                    if place.host in one:
                        self._end(place, others)

    def hindered(self) -> Hindrance | None:
        """As the router tells: what was ordered, when the kernel has its rules."""
        if self._hindrance is None:
            return None
        told = json.loads(self._in(ROUTER, ["nft", "-j", "list", "ruleset"]))["nftables"]
        rules = sum("rule" in entry for entry in told)
        return self._hindrance if rules and rules == self._rules(self._hindrance).count("\nadd rule ") else None

    def _rules(self, hindrance: Hindrance) -> str:
        sources, targets = self._sides(hindrance)
        does = "drop" if hindrance.how == CUT else "meta l4proto tcp reject with tcp reset"
        ways = [(sources, targets)] if hindrance.one_way else [(sources, targets), (targets, sources)]
        if not sources or not targets:
            return ""
        chain = f"add table {_TABLE}\nadd chain {_TABLE} between {{ type filter hook forward priority 0; policy accept; }}"
        lines = [f"add rule {_TABLE} between ip saddr {{ {', '.join(a)} }} ip daddr {{ {', '.join(b)} }} {does}" for a, b in ways]
        return "\n".join([chain, *lines]) + "\n"

    def _sides(self, hindrance: Hindrance) -> tuple[list[str], list[str]]:
        """The addresses at either end. Clients are this machine, and services."""
        everybody = CLIENTS in hindrance.sources and {p.region for p in self._places} - set(hindrance.targets) <= set(hindrance.sources)

        def within(region: str, place: layout.Place) -> bool:
            if region == CLIENTS:
                return place.kind not in layout.KINDS
            return place.region == region and place.kind in layout.KINDS and (not hindrance.kinds or place.kind in hindrance.kinds)

        targets = [p.host for p in self._places if any(within(side, p) for side in hindrance.targets)]
        sources = [p.host for p in self._places if everybody or any(within(side, p) for side in hindrance.sources)]
        machine = [self._address(_MACHINE)]
        targets += machine if CLIENTS in hindrance.targets else []
        return sources + (machine if CLIENTS in hindrance.sources else []), targets

    def _end(self, place: layout.Place, others: Iterable[str]) -> None:
        chosen = " or ".join(f"dst {address}" for address in others)
        if place.name in self._holders and chosen:
            self._in(place.name, ["ss", "--kill", "--tcp", "--numeric", f"( {chosen} )"], fails=True)

    # -- how it is made --------------------------------------------------------------------------------------------------------------

    def _connect(self, place: layout.Place) -> None:
        holder, link = self._hold(place.name), f"to{place.host.rpartition('.')[2]}"
        gateway = self._address(_GATEWAY)
        router = [
            f"link add {link} type veth peer name eth0 netns {holder.number}",
            f"link set {link} up",
            f"route add {place.host}/32 dev {link}",
        ]
        there = [
            "link set lo up",
            f"addr add {place.host}/32 dev eth0",
            "link set eth0 up",
            f"route add {gateway}/32 dev eth0",
            f"route add default via {gateway}",
        ]
        self._in(ROUTER, ["ip", "-batch", "-"], "\n".join(router))
        self._in(place.name, ["ip", "-batch", "-"], "\n".join(there))

    def _hold(self, name: str) -> Pid:
        """A process in a namespace of its own."""
        child = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._platform,
            env={"PATH": os.environ.get("PATH", os.defpath), TAG: str(self._platform)},
            start_new_session=True,
        )
        self._children.append(child)
        ours = Path("/proc/self/ns/net").readlink()
        self._waits.until(
            f"{name} to have a network of its own", lambda: _namespace(child.pid) not in (None, ours), within=SECONDS, ignoring=(OSError,)
        )
        pid = Pid.of(child.pid)
        if pid is None:
            raise errors.StoreError(f"No network namespace could be made for {name}: its process ended at once.")
        self._holders[name] = pid
        return pid

    def close(self) -> None:
        """End the processes that hold the network, and with them the network."""
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait(SECONDS)

    def _note(self) -> None:
        noted = {name: [pid.number, pid.started] for name, pid in self._holders.items()}
        whole.write(self._platform / NOTE, json.dumps(noted))

    def _in(self, name: str, command: Sequence[str], given: str = "", *, fails: bool = False) -> str:
        return _run(["nsenter", f"--net=/proc/{self._holders[name].number}/ns/net", "--", *command], given, fails=fails)

    def _address(self, number: int) -> str:
        return f"{self._block}.{number}"

    @property
    def _block(self) -> str:
        return self._places[0].host.rpartition(".")[0]


def _namespace(number: int) -> Path | None:
    return Path(f"/proc/{number}/ns/net").readlink()


def _run(command: Sequence[str], given: str = "", *, fails: bool = False) -> str:
    """What it printed. Raises StoreError with what it complained of, unless it may fail (`fails`)."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise errors.StoreError(f"{command[0]} did not answer within {SECONDS:g} s.") from error
    if done.returncode and not fails:
        said = " ".join(done.stderr.split())[:300]
        raise errors.StoreError(f"The network could not be changed ({said}); DRPLATFORM_NETWORK=proxies does without namespaces.")
    return done.stdout
