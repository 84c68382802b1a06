"""Which namespaces are content under protection, and which are the server's own business or the ledger's."""

LEDGER = "drplatform"
MARKS = f"{LEDGER}.marks"
PROBES = f"{LEDGER}.probes"
RESTORING = f"{LEDGER}.restoring"
"""Notes of a restore that is at work; part of no backup."""
ACCOUNTS, ROLES = "admin.system.users", "admin.system.roles"
USERS = frozenset({ACCOUNTS, ROLES})
_OURS = frozenset({"system.views", "system.js"})


def split(namespace: str) -> tuple[str, str]:
    """Database and collection; a collection's name may hold dots."""
    database, _, collection = namespace.partition(".")
    return database, collection


def protected(namespace: str) -> bool:
    """Whether backups hold this namespace."""
    database, collection = split(namespace)
    if database in ("local", "config") or namespace == RESTORING:
        return False
    if namespace in USERS or not collection.startswith("system."):
        return True
    return database != "admin" and (collection in _OURS or collection.startswith("system.buckets."))


def content(namespace: str) -> bool:
    """Whether digests cover this namespace: not the ledger's marks and probes, which go on while one looks."""
    return protected(namespace) and split(namespace)[0] != LEDGER


def user(namespace: str) -> bool:
    """Whether it is a collection that people made."""
    return protected(namespace) and not split(namespace)[1].startswith("system.")


def created_with_load(namespace: str) -> bool:
    """Collections whose documents the server takes only as operations of the log: views, users, roles."""
    return namespace in USERS or split(namespace)[1] == "system.views"
