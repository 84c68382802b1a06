"""Reference content for drills: collections of every kind in the database `reference`, the same for the same seed."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp

from drplatform.stores.mongodb.wire import Document, Wire

DATABASE = "reference"
_BATCH = 500
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_WORDS = ("invoice", "migration", "draft", "payment", "österreich", "naïve", "東京", "report", "user", "archive")
_NEVER = 10 * 365 * 24 * 3600
"""Seconds until reference documents expire: long after any drill."""

_INDEXES: dict[str, list[Document]] = {
    "customers": [
        {"key": {"email": 1}, "name": "email_unique", "unique": True},
        {"key": {"address.city": 1, "name": -1}, "name": "city_name", "collation": {"locale": "en", "strength": 2}},
        {"key": {"place": "2dsphere"}, "name": "place_2dsphere"},
    ],
    "orders": [
        {"key": {"customer": 1, "placed": -1}, "name": "customer_placed"},
        {"key": {"total": 1}, "name": "open_totals", "partialFilterExpression": {"state": "open"}},
        {"key": {"_id": "hashed"}, "name": "_id_hashed"},
        {"key": {"note": "text"}, "name": "note_text", "default_language": "english"},
        {"key": {"attributes.$**": 1}, "name": "attributes_any"},
    ],
    "sessions": [{"key": {"begun": 1}, "name": "expiry", "expireAfterSeconds": _NEVER}],
}
_VALIDATOR = {"$jsonSchema": {"bsonType": "object", "required": ["customer", "state"], "properties": {"state": {"bsonType": "string"}}}}


def seed(wire: Wire, seed: int, items: int) -> None:
    """Fill the database with `items` documents."""
    generator = random.Random(seed)
    _collections(wire)
    counts = _shares(items)
    for name, make in _MAKERS.items():
        _insert(wire, name, (make(generator, number) for number in range(counts[name])))
    for name, indexes in _INDEXES.items():
        wire.call(DATABASE, {"createIndexes": name, "indexes": indexes})
    wire.call("admin", {"appendOplogNote": 1, "data": {"drplatform": "seeded"}, "writeConcern": {"w": "majority"}})


def _shares(items: int) -> dict[str, int]:
    """How the documents spread: most are orders, the remainder too."""
    counts = {"customers": items // 5, "sessions": items // 5, "events": items // 20, "odd names/with:marks": items // 20}
    return {**counts, "orders": items - sum(counts.values())}


def _collections(wire: Wire) -> None:
    wire.call(DATABASE, {"create": "orders", "validator": _VALIDATOR, "validationLevel": "moderate"})
    wire.call(DATABASE, {"create": "events", "capped": True, "size": 16 * 1024 * 1024})
    wire.call(DATABASE, {"create": "open_orders", "viewOn": "orders", "pipeline": [{"$match": {"state": "open"}}]})


def _insert(wire: Wire, name: str, documents: Iterator[Document]) -> None:
    batch = list[bytes]()
    for document in documents:
        batch.append(bson.encode(document))
        if len(batch) == _BATCH:
            wire.call(DATABASE, {"insert": name}, {"documents": batch})
            batch = []
    if batch:
        wire.call(DATABASE, {"insert": name}, {"documents": batch})


def _object_id(generator: random.Random) -> ObjectId:
    return ObjectId(generator.randbytes(12))


def _moment(generator: random.Random) -> datetime:
    return _EPOCH + timedelta(milliseconds=generator.randrange(10**10))


def _text(generator: random.Random, words: int) -> str:
    return " ".join(generator.choices(_WORDS, k=words))


def _customer(generator: random.Random, number: int) -> Document:
    place = {"type": "Point", "coordinates": [generator.uniform(-179, 179), generator.uniform(-85, 85)]}
    return {
        "_id": _object_id(generator),
        "name": _text(generator, 2),
        "email": f"user{number}@example.org",
        "address": {"city": generator.choice(_WORDS), "lines": [_text(generator, 3), None]},
        "place": place,
        "avatar": Binary(generator.randbytes(64), 0),
    }


def _order(generator: random.Random, number: int) -> Document:
    identities: list[Any] = [_object_id(generator), number, f"order-{number}", {"year": 2024, "number": number}]
    return {
        "_id": identities[number % 4],
        "customer": _object_id(generator),
        "state": generator.choice(("open", "paid", "cancelled")),
        "total": Decimal128(f"{generator.randrange(10**7) / 100:.2f}"),
        "placed": _moment(generator),
        "note": _text(generator, 12),
        "attributes": {generator.choice(_WORDS): generator.random(), "big": Int64(generator.getrandbits(60))},
        "pattern": Regex("^a.*b$", "i"),
    }


def _session(generator: random.Random, number: int) -> Document:
    begun = _EPOCH + timedelta(days=3 * 365, seconds=number)
    return {"_id": _object_id(generator), "begun": begun, "token": generator.randbytes(32), "at": Timestamp(number + 1, 1)}


def _event(generator: random.Random, number: int) -> Document:
    return {"_id": number, "kind": generator.choice(_WORDS), "text": _text(generator, 5)}


def _odd(generator: random.Random, number: int) -> Document:
    return {"_id": number, "": None, "dotted.name": 1, "value": generator.choice([True, False, -0.0, float("inf"), "", [[]], {}])}


_MAKERS = {"customers": _customer, "orders": _order, "sessions": _session, "events": _event, "odd names/with:marks": _odd}
