"""The directory that mongodump writes and mongorestore loads: `database/collection.bson`, `.metadata.json` beside it, `oplog.bson` above.

Names are escaped as in the query of a URL; long ones are cut, and end in a hash (the collection's name is then in the metadata). Metadata is canonical
extended JSON (MongoDB Extended JSON v2). Knows file names and metadata, not what a backup is.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import bson
from bson import json_util

from drplatform.model import errors
from drplatform.stores.mongodb import namespaces
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.chosen import BUCKETS

OPLOG = "oplog.bson"
_PRELUDE = "prelude.json"
_LONGEST = 208
_METADATA = ".metadata.json"
VIEW, TIME_SERIES, COLLECTION = "view", "timeseries", "collection"
_OF_TIME_SERIES = ("timeseries", "expireAfterSeconds")


def stem(directory: Path, namespace: str) -> Path:
    """Where a collection's files lie, without their endings."""
    database, name = namespaces.split(namespace)
    escaped = quote_plus(name)
    if len(escaped) > _LONGEST:
        digest = base64.urlsafe_b64encode(hashlib.sha1(name.encode(), usedforsecurity=False).digest()).decode().rstrip("=")
        escaped = f"{escaped[:_LONGEST]}%24{digest}"
    return directory / database / escaped


def data_file(directory: Path, namespace: str) -> Path:
    found = stem(directory, namespace)
    return found.with_name(f"{found.name}.bson")


def write_metadata(directory: Path, collection: Collection) -> None:
    """The metadata of a collection; that of a time series is under its own name, not that of its buckets."""
    database, name = namespaces.split(collection.namespace)
    series = "timeseries" in collection.options
    options = {k: v for k, v in collection.options.items() if k in _OF_TIME_SERIES} if series else collection.options
    body = {"options": options, "indexes": _indexes(collection), "uuid": collection.uuid.hex(), "collectionName": name}
    _write(directory, f"{database}.{name.removeprefix(BUCKETS)}", {**body, "type": TIME_SERIES if series else COLLECTION})


def write_view(directory: Path, view: dict[str, Any]) -> None:
    """From a document of `system.views`."""
    name = namespaces.split(view["_id"])[1]
    options = {key: value for key, value in view.items() if key != "_id"}
    _write(directory, view["_id"], {"options": options, "indexes": [], "uuid": "", "collectionName": name, "type": VIEW})


def _indexes(collection: Collection) -> list[dict[str, Any]]:
    if collection.options.get("clusteredIndex") or namespaces.split(collection.namespace)[1].startswith("system."):
        return list(collection.indexes)
    return list(collection.indexes) or ([collection.id_index] if collection.id_index else [])


def _write(directory: Path, namespace: str, body: dict[str, Any]) -> None:
    found = stem(directory, namespace)
    found.parent.mkdir(parents=True, exist_ok=True)
    found.with_name(f"{found.name}{_METADATA}").write_text(json_util.dumps(body, json_options=json_util.CANONICAL_JSON_OPTIONS))


def read_metadata(directory: Path) -> list[tuple[str, dict[str, Any], Path]]:
    """Namespace, metadata and data file (views have none) of each collection and view. Raises SettingsError, and IntegrityError where what
    belongs together is not there: each half alone would be left out, or come back empty."""
    found = []
    for file in sorted(directory.glob(f"*/*{_METADATA}")):
        body = _read(file)
        base = file.name.removesuffix(_METADATA)
        name = str(body.get("collectionName") or unquote_plus(base))
        series = body.get("type") == TIME_SERIES
        namespace = f"{file.parent.name}.{BUCKETS if series else ''}{name.removeprefix(BUCKETS)}"
        beside = file.with_name(f"{BUCKETS if series else ''}{base}.bson")
        found.append((namespace, body, beside if beside.exists() else data_file(directory, namespace)))
    if not found:
        raise errors.SettingsError(f"{directory} is no directory of mongodump: it holds no */*{_METADATA}; unpack archives first.")
    _require_whole(directory, {file: body for _, body, file in found})
    return found


def server_version(directory: Path) -> str:
    """Of the server that was dumped, as newer mongodumps say; empty where that is not said."""
    try:
        return str(json.loads((directory / _PRELUDE).read_text())["ServerVersion"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _require_whole(directory: Path, found: dict[Path, dict[str, Any]]) -> None:
    missing = [file for file, body in found.items() if body.get("type") != VIEW and not file.exists()]
    if missing:
        raise errors.IntegrityError(f"{missing[0]} is missing, though its metadata is there: the dump is not whole; do not trust it.")
    alone = sorted({*directory.glob("*/*.bson"), *directory.glob("*/*.gz")} - found.keys())
    if alone:
        raise errors.IntegrityError(
            f"{alone[0]} has no metadata beside it, and would be left out; unpack what ends in .gz, or put back what is missing."
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = bson.decode(bson.encode(json_util.loads(file.read_text(), json_options=json_util.CANONICAL_JSON_OPTIONS)))
    except (OSError, ValueError, bson.errors.BSONError) as error:
        raise errors.SettingsError(f"{file} cannot be read ({error}); it is no metadata of mongodump.") from error
    return read
