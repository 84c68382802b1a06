"""Whether the vault's server lets each identity do its work, and nothing else: tried, with objects made for that, and looked at by the owner."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from drplatform.engine import backups
from drplatform.engine.backups.catalogue import manifest_key
from drplatform.engine.kit import Kit
from drplatform.model import access, drill, errors, ports
from drplatform.model.access import Role
from drplatform.model.verdict import Check, Verdict, check

NAME = "each identity may do its work at the vault and nothing else"

Document = Callable[[str], Mapping[str, Any]]
"""Of a bucket, what may be done to it."""


@dataclass(frozen=True)
class _Objects:
    """A backup's manifest and one of its chunks, and, made for this check: a chunk, a hold and a record of evidence."""

    manifest: str
    data: str
    chunk: str
    hold: str
    record: str
    new: str


ACTS: Mapping[str, Callable[[ports.Repository, _Objects], object]] = {
    "list": lambda vault, o: [*vault.list(o.manifest)],
    "read manifests": lambda vault, o: vault.get(o.manifest),
    "read data": lambda vault, o: vault.get(o.data),
    "store": lambda vault, o: vault.put(o.new, b"new"),
    "delete backups": lambda vault, o: vault.delete(o.chunk),
    "delete holds": lambda vault, o: vault.delete(o.hold),
    "delete evidence": lambda vault, o: vault.delete(o.record),
}
MAY = {
    Role.WRITER: {"list", "read manifests", "store"},
    Role.READER: {"list", "read manifests", "read data"},
    Role.PRUNER: {"list", "read manifests", "delete backups"},
    Role.AUDITOR: {"list", "read manifests"},
}


def parts(plan: drill.Plan, kit: Kit) -> dict[str, tuple[Check, ...]]:
    """One check, where the plan asks for it."""
    if not any(e.judgement == "access" for e in plan.of(drill.Expect)):
        return {}
    return {"access": (_checked(kit),)}


def _checked(kit: Kit) -> Check:
    whole = backups.Catalogue(kit.repository).read().manifests
    filled = next((m for m in whole if m.chunks), None)
    if kit.identity is None or filled is None:
        return Check(NAME, Verdict.INCONCLUSIVE, "the vault makes no identities" if kit.identity is None else "the vault holds no backup")
    manifest = manifest_key(filled.store, filled.kind, filled.id)
    subject = {role: _of(role) for role in Role}
    planted = {Role.WRITER: lambda bucket: access.policy(Role.PRUNER, bucket)}
    told = "; ".join(f"{role} may {', '.join(sorted(MAY[role]))}" for role in Role)
    try:
        return check(NAME, lambda given: _wrong(kit, given, manifest, filled.chunks[0].key), subject, planted, told)
    except errors.StoreError as error:
        return Check(NAME, Verdict.INCONCLUSIVE, str(error))


def _of(role: Role) -> Document:
    return lambda bucket: access.policy(role, bucket)


def _wrong(kit: Kit, given: Mapping[Role, Document], manifest: str, data: str) -> list[str]:
    """What the identities may do and should not, or the reverse, in words."""
    assert kit.identity
    found = []
    for role, document in given.items():
        with kit.identity(document) as seen:
            able = {name for name, act in ACTS.items() if _allowed(kit, role, seen, act, manifest, data)}
        found += [f"the {role} may {name}" for name in sorted(able - MAY[role])]
        found += [f"the {role} may not {name}" for name in sorted(MAY[role] - able)]
    return found


def _allowed(
    kit: Kit, role: Role, seen: ports.Repository, act: Callable[[ports.Repository, _Objects], object], manifest: str, data: str
) -> bool:
    """Whether the act was done. Refused is only what the server refuses, and what was to be deleted is still there by the owner's own look.

    Raises StoreError when it failed otherwise.
    """
    with _made(kit, manifest, data) as objects:
        try:
            act(seen, objects)
        except errors.AccessDenied:
            there = {info.key for key in vars(objects).values() for info in kit.repository.list(key)}
            if there != {*vars(objects).values()} - {objects.new}:
                raise errors.StoreError(f"The vault refused what the {role} tried, and did it all the same.") from None
            return False
        return True


@contextmanager
def _made(kit: Kit, manifest: str, data: str) -> Iterator[_Objects]:
    token = f"access-check-{kit.random.getrandbits(48):012x}"
    made = _Objects(manifest, data, f"{token}/chunks/000001", f"holds/{token}", f"evidence/{token}/records/000000000.jsonl", f"{token}/new")
    try:
        for key in (made.chunk, made.hold, made.record):
            kit.repository.put(key, b"made for a check")
        yield made
    finally:
        for key in (made.chunk, made.hold, made.record, made.new):
            kit.repository.delete(key)
