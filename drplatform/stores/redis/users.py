"""Users and their rights (ACL), which neither an RDB file nor the stream holds. Part `users` of a backup.

A user is one line of ACL LIST, which is also the form of an ACL file: `user <name> <rules>`, passwords as SHA-256. Lines therefore are never
shown: what is said of a user is its name, and what the server says of a rule is kept back when that is a password.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from drplatform.model import errors
from drplatform.model.ports import BLOCK_BYTES
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import ErrorReply, Wire

DEFAULT = b"default"
FILE = "users.acl"
UNREAD = "users not readable"
_FRESH = (b"on", b"nopass", b"~*", b"&*", b"+@all")
_IMPLIED = frozenset({b"sanitize-payload", b"resetchannels", b"alldbs"})
"""Rules that some versions write out, and that say nothing: what they stand for is so unless another rule says otherwise."""

Rules = tuple[bytes, ...]


@dataclass(frozen=True)
class Users:
    """Rules by name, in the server's order; `unreadable`: why they are not known. Not shown when printed."""

    rules: Mapping[bytes, Rules] = field(default_factory=dict, repr=False)
    unreadable: str = ""

    def blocks(self) -> Iterator[bytes]:
        """The part of a backup."""
        lines = [line.decode("utf-8", "surrogateescape") for line in self.lines()]
        document = json.dumps({"users": lines, "unreadable": self.unreadable}).encode()
        yield from (document[at : at + BLOCK_BYTES] for at in range(0, len(document), BLOCK_BYTES))

    @classmethod
    def of(cls, blocks: Iterable[bytes]) -> "Users":
        """Raises IntegrityError when it is no such part."""
        try:
            document = json.loads(b"".join(blocks))
            return cls(_parsed(line.encode("utf-8", "surrogateescape") for line in document["users"]), str(document["unreadable"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            words = "The users in this backup cannot be read; do not trust this backup, use another one."
            raise errors.IntegrityError(words) from None  # the cause quotes what it could not read

    def lines(self) -> Iterator[bytes]:
        """As an ACL file has them."""
        return (b" ".join((b"user", name, *rules)) for name, rules in self.rules.items())

    def only_fresh(self) -> bool:
        """Whether there is nobody but the user that a new server has."""
        return all(name == DEFAULT and _same(rules, _FRESH) for name, rules in self.rules.items())


@dataclass(frozen=True)
class Outcome:
    """In words: what the target did not take, and what was left as the target has it. See `ports.RestoreEnd`."""

    refused: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def read(wire: Wire) -> Users:
    """Raises StoreError, but not when the account may not read them, or the server does not show them."""
    try:
        return Users(_parsed(wire.call("ACL", "LIST")))
    except ErrorReply as error:
        if error.code == "NOPERM":
            return Users(unreadable="the account may not read them; grant it +acl|list")
        if error.code == "ERR":
            return Users(unreadable="the server does not show them by ACL LIST")
        raise
    except ValueError:
        return Users(unreadable="the server shows them in no known form")


def bring_back(admin: Wire, wanted: Users, again: bool) -> Outcome:
    """Set the users up as they were, but for `default` and the account at work, which are left alone; have them kept; read them back.

    `again`: an earlier attempt may have set them, and not have had them kept. Raises StoreError when the server cannot be asked.
    """
    if wanted.unreadable:
        return Outcome(left=(f"the users (ACL), which are not in the backup: {wanted.unreadable}",))
    found, own = read(admin.within(wires.COMMAND_SECONDS)), admin.call("ACL", "WHOAMI")
    theirs = {name: rules for name, rules in wanted.rules.items() if name not in (DEFAULT, own)}
    if found.unreadable:
        words = f"the users (ACL) of the target could not be compared: {found.unreadable}"
        return Outcome(refused=tuple(f"user {_shown(name)}: {words}" for name in theirs)) if theirs else Outcome(left=(words,))
    different = {name: rules for name, rules in theirs.items() if not _same(rules, found.rules.get(name))}
    refused = {name: why for name, rules in different.items() if (why := _set(admin, name, rules))}
    unkept = _keep(admin) if theirs and (different.keys() - refused.keys() or again) else ""
    return _compared(wanted, read(admin.within(wires.COMMAND_SECONDS)), own, refused, (unkept,) if unkept else ())


def _compared(wanted: Users, now: Users, own: bytes, refused: dict[bytes, str], left: tuple[str, ...]) -> Outcome:
    """Every user of either side is looked at, whether it was set or not."""
    left += tuple(_differences(wanted, now, own))
    for name, rules in wanted.rules.items():
        if name not in (DEFAULT, own) and name not in refused and not _same(rules, now.rules.get(name)):
            refused[name] = "read back, it is not as in the backup" if name in now.rules else "read back, it is not there"
    return Outcome(tuple(f"user {_shown(name)}: {why}" for name, why in refused.items()), left)


def _differences(wanted: Users, now: Users, own: bytes) -> Iterator[str]:
    for name, rules in now.rules.items():
        before = wanted.rules.get(name)
        if before is None and name not in (DEFAULT, own):
            yield f"user {_shown(name)}: the target has it, and the backup not"
        elif before is not None and name in (DEFAULT, own) and not _same(before, rules):
            yield f"user {_shown(name)}: the target has it with other rights or passwords than the backup"


def _set(admin: Wire, name: bytes, rules: Rules) -> str:
    """Why the target did not take it, else nothing; then the user is as it was before."""
    try:
        admin.within(wires.COMMAND_SECONDS).call("ACL", "SETUSER", name, "reset", *rules)
    except ErrorReply as error:
        return f"the target does not take {_quoted(rules, str(error)) or f'it ({error.code})'}"
    return ""


def _keep(admin: Wire) -> str:
    """Have the users on the target's disk; why they are not, else nothing."""
    if wires.setting(admin, "aclfile"):
        command: tuple[str, str] = ("ACL", "SAVE")
    elif wires.info(admin, "server").get("config_file"):
        command = ("CONFIG", "REWRITE")
    else:
        return "the users, which the target will have forgotten after a restart: it has neither an aclfile nor a configuration file"
    try:
        admin.within(wires.COMMAND_SECONDS).call(*command)
    except ErrorReply as error:
        return (
            f"the users, which the target will have forgotten after a restart: it could not keep them ({' '.join(command)}: {error.code})"
        )
    return ""


def _quoted(rules: Rules, said: str) -> str:
    """Which rule the server complains about; never a password."""
    quoted = (rule.decode("utf-8", "replace") for rule in rules if rule[:1] not in (b"#", b">", b"<", b"!"))
    return next((f"its rule {rule}" for rule in quoted if f"'{rule}'" in said), "")


def _parsed(lines: Iterable[bytes]) -> dict[bytes, Rules]:
    """Raises ValueError, which says nothing of the line."""
    found = dict[bytes, Rules]()
    for line in lines:
        word, name, *rules = line.split(b" ")
        if word != b"user" or not name:
            raise ValueError("no line of an ACL")
        found[name] = tuple(_joined(rules))
    return found


def _joined(words: Iterable[bytes]) -> Iterator[bytes]:
    """Rules; a selector, `(~key* -@all +get)`, is one."""
    selector = list[bytes]()
    for word in words:
        if not selector and not word.startswith(b"("):
            yield word
            continue
        selector.append(word)
        if word.endswith(b")"):
            yield b" ".join(selector)
            selector = []
    if selector:
        raise ValueError("a selector without an end")


def form(name: bytes, rules: Rules) -> str:
    """One text for the same rights, however they are written; it holds no hash of a password, but what only who has that can compute."""
    return repr(_canonical(_slow(name, rule) if rule.startswith(b"#") else rule for rule in rules))


def _slow(name: bytes, rule: bytes) -> bytes:
    """Some 20 ms of one processor, 8 MiB."""
    return b"#" + hashlib.scrypt(rule, salt=name, n=2**13, r=8, p=1).hex().encode()


def _same(one: Rules, other: Rules | None) -> bool:
    return other is not None and _canonical(one) == _canonical(other)


def _canonical(rules: Iterable[bytes]) -> tuple[object, ...]:
    """Commands in their order, which matters; all else in any. Versions differ in what they write out."""
    kept = [rule for rule in rules if rule and rule not in _IMPLIED]
    commands = [rule for rule in kept if re.match(rb"[+-]", rule)]
    selectors = sorted((_canonical(rule[1:-1].split(b" ")) for rule in kept if rule.startswith(b"(")), key=repr)
    others = sorted(rule for rule in kept if not re.match(rb"[+(-]", rule))
    return tuple(commands), tuple(others), tuple(selectors)


def _shown(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return text if text.isprintable() else repr(text)
