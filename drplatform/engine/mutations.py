"""The mutation score of backups: every fault on backups, caused on a copy of real ones, and which layers of a recovery catch it.

A layer is something that a recovery passes before traffic is switched. What no layer catches would be served to users.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from drplatform.engine import backups, custody
from drplatform.engine.faulting import Faulting, Lookup
from drplatform.model import backup, errors, ports, retention
from drplatform.model.backup import BASES, BackupKind, Manifest
from drplatform.model.clock import Clock
from drplatform.model.policy import Policy
from drplatform.model.timeline import Timeline

LAYERS = {
    "catalogue": "reading the list of backups: a manifest's checksum, form or place is wrong",
    "custody": "what was taken, as known outside the vault, beside what is there",
    "chain": "the way to the recovery point has no hole",
    "checksums": "every object against its manifest, without any key",
    "seals": "every chunk opens with its key in its place, and the manifest is genuine",
    "times": "no backup is from the future, and pruning refuses to decide by such times",
}
"""In the order in which a recovery comes to them."""
HARMLESS, MISSED = "harmless", "MISSED"


@dataclass(frozen=True)
class Mutation:
    """One fault on one kind of artefact: the layers that caught it, in their order, and what the first of them said."""

    fault: str
    store: str
    of: str
    artefact: str
    layers: tuple[str, ...]
    said: str

    @property
    def caught(self) -> bool:
        return bool(self.layers) and MISSED not in self.layers

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Trial:
    """What a score is taken of: a `repository` that may be changed (never the vault itself), what opens it, and what was taken."""

    repository: ports.Repository
    opener: backups.Opener
    taken: tuple[Manifest, ...]
    policy: Policy
    clock: Clock
    directory: Path

    def stores(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m.store for m in self.taken))

    def kinds(self, store: str) -> tuple[BackupKind, ...]:
        return tuple(dict.fromkeys(m.kind for m in self.taken if m.store == store))


class _Nowhere:
    """The place of a scene without a platform: faults on backups keep aside there what they change."""

    regions: tuple[ports.Region, ...] = ()

    def __init__(self, directory: Path) -> None:
        self.directory = directory


def score(trial: Trial, faults: Lookup, kinds: Iterable[str], chosen: Callable[[str, str, str], bool] = lambda *_: True) -> list[Mutation]:
    """Cause every fault of these kinds on every artefact there is, one after another; after each the copy is as before.

    Faults for which there are too few backups are left out. `chosen` may leave out more, by fault, store and kind of backup.
    """
    return [mutation for fault in kinds for mutation in _of_fault(trial, faults(fault), fault, chosen)]


def _of_fault(trial: Trial, make: Callable[..., ports.Fault], fault: str, chosen: Callable[[str, str, str], bool]) -> Iterator[Mutation]:
    for store in trial.stores():
        for of in trial.kinds(store):
            for artefact in _artefacts(make):
                if chosen(fault, store, of.value) and (found := _mutation(trial, make(store=store, of=of.value, artefact=artefact), of)):
                    yield found


def _artefacts(make: Callable[..., ports.Fault]) -> tuple[str, ...]:
    """Faults that are on manifests, or on whole backups, by their nature have one artefact."""
    default = str(getattr(make(), "artefact", ""))
    return ("chunk", "manifest") if default == "chunk" else (default,)


def _mutation(trial: Trial, fault: Any, of: BackupKind) -> Mutation | None:
    scene = ports.Scene(cast(ports.Platform, _Nowhere(trial.directory)), {}, trial.clock, trial.repository)
    expected = _content(trial, fault.store)
    with Faulting(scene, trial.directory / "faults.jsonl", trial.clock, Timeline(trial.clock)) as faulting:
        try:
            faulting.inflict(fault)
        except errors.FaultNotConfirmed:
            raise
        except errors.Inconclusive:
            return None  # too few backups for it
        told = {layer: said for layer, look in _LOOKS.items() if (said := _said(look, trial, fault.store))}
        if not told:
            told = {HARMLESS: "what it leads to is the same"} if _content(trial, fault.store) == expected else {MISSED: "nobody noticed"}
    return Mutation(fault.kind, fault.store, of.value, fault.artefact, tuple(told), next(iter(told.values())))


def _said(look: Callable[[Trial, str], Iterable[str]], trial: Trial, store: str) -> str:
    try:
        return next(iter(look(trial, store)), "")
    except errors.DrplatformError as error:
        return str(error)


def _catalogue(trial: Trial, store: str) -> Iterable[str]:
    return backups.Catalogue(trial.repository).read(store).problems


def _custody(trial: Trial, store: str) -> Iterable[str]:
    listing = backups.Catalogue(trial.repository).read(store)
    return custody.doubts([m for m in trial.taken if m.store == store], dataclasses.replace(listing, problems=()))


def _chain(trial: Trial, store: str) -> Iterable[str]:
    """To where the backups reached when they were taken."""
    backups.Catalogue(trial.repository).chain_to(store, backup.chain_to(trial.taken, store).end)
    return ()


def _checksums(trial: Trial, store: str) -> Iterable[str]:
    chain = backups.Catalogue(trial.repository).chain_to(store)
    return (problem for m in chain.backups for problem in backups.verify(m, trial.repository, None).problems)


def _seals(trial: Trial, store: str) -> Iterable[str]:
    chain = backups.Catalogue(trial.repository).chain_to(store)
    return (problem for m in chain.backups for problem in backups.verify(m, trial.repository, trial.opener).problems)


def _times(trial: Trial, store: str) -> Iterable[str]:
    listing, now = backups.Catalogue(trial.repository).read(store), trial.clock.utc()
    return (*retention.prune(listing.manifests, trial.policy, now).refused.values(), *custody.future(listing.manifests, now))


_LOOKS = {
    "catalogue": _catalogue,
    "custody": _custody,
    "chain": _chain,
    "checksums": _checksums,
    "seals": _seals,
    "times": _times,
}


def _content(trial: Trial, store: str) -> str:
    """Digest of all that a restore of the store would load, and in which order."""
    total = hashlib.sha256()
    try:
        for manifest in backups.Catalogue(trial.repository).chain_to(store).backups:
            for ref in sorted(manifest.chunks, key=lambda c: (c.stage, c.part, c.number)):
                plain = trial.opener.open(manifest, ref, trial.repository.get(ref.key))
                total.update(f"{ref.part}/{ref.number}/{len(plain)}/".encode() + plain)
    except errors.DrplatformError as error:
        return f"nothing: {error}"
    return total.hexdigest()


def copied(source: ports.Repository, into: ports.Repository, manifests: Iterable[Manifest], bytes_at_most: int) -> tuple[Manifest, ...]:
    """Copy, by store, the newest three backups that begin a chain and the newest chain's slices. Raises SettingsError when it is too much."""
    chosen = tuple(m for store in dict.fromkeys(m.store for m in manifests) for m in _chosen([m for m in manifests if m.store == store]))
    size = sum(m.stored_bytes for m in chosen)
    if size > bytes_at_most:
        raise errors.SettingsError(f"The backups to try take {size:,} bytes, more than the {bytes_at_most:,} allowed; raise the limit.")
    for manifest in chosen:
        place = f"{manifest.store}/{manifest.kind.value}/{manifest.id}/"
        for key in [*(c.key for c in manifest.chunks), f"{place}manifest.json"]:
            into.put(key, source.get(key))
    return chosen


def _chosen(own: Sequence[Manifest]) -> tuple[Manifest, ...]:
    bases = sorted((m for m in own if m.kind in BASES), key=lambda m: (m.finished, m.id))[-3:]
    slices = backup.chain_to(own, own[0].store).logs if bases else ()
    return (*bases, *slices)


# -- telling --------------------------------------------------------------------------------------------------------------------


def summary(found: Sequence[Mutation]) -> str:
    caught = sum(m.caught for m in found)
    share = f"{100 * caught / len(found):.1f} %" if found else "nothing was tried"
    return f"{caught} of {len(found)} mutations caught before the traffic switch ({share})"


def table(found: Sequence[Mutation]) -> str:
    """Markdown: one row a fault and artefact, one column a store and kind of backup; a cell names the layer that was first."""
    columns = sorted({(m.store, m.of) for m in found})
    rows = dict.fromkeys((m.fault, m.artefact) for m in found)
    cells: Mapping[Any, str] = {(m.fault, m.artefact, m.store, m.of): m.layers[0] for m in found}
    head = f"| fault | artefact | {' | '.join(f'{store} {of}' for store, of in columns)} |"
    lines = [f"| {f} | {a} | {' | '.join(cells.get((f, a, *c), '–') for c in columns)} |" for f, a in rows]
    return "\n".join([head, "|---" * (len(columns) + 2) + "|", *lines]) + "\n"
