"""Reference content: user uploads and generated documents of varied size, names, types, metadata and tags; the same for the same seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drplatform.stores.files import digest, upload
from drplatform.stores.files.content import Header

BIG_BYTES = 20 * 1024 * 1024
BIG_FROM = 20
"""With so many items, one of them is of BIG_BYTES, which goes and comes back in parts."""
_TYPES = ("application/pdf", "image/png", "text/plain; charset=utf-8", "application/octet-stream", "application/json")
_NAMES = (
    "invoice.pdf", "Übersicht – März.pdf", "日本語/報告書.pdf", "a+b & c=d?.txt", "100% sure.txt", "it's \"quoted\" <x>.json",
    "emoji 😀.png", "e\u0301tude.pdf", "many spaces   .txt", "UPPER.PDF", ".hidden", "#fragment;v=1,2.bin", "tilde~(1)*!.txt", "[brackets]{}^`|.txt",
)  # fmt: skip


@dataclass(frozen=True)
class _Item:
    bucket: str
    header: Header
    content: bytes


def seed(s3: Any, buckets: tuple[str, ...], number: int, items: int) -> None:
    """Raises StoreError when the server does not take any of it."""
    for _ in digest.in_parallel(_items(random.Random(number), buckets, items), lambda item: _put(s3, item)):
        pass


def _items(generator: random.Random, buckets: tuple[str, ...], items: int) -> Iterator[_Item]:
    for index in range(items):
        big = index == BIG_FROM - 1
        content = generator.randbytes(BIG_BYTES) if big else _content(generator, index)
        name = "archive.bin" if big else _NAMES[index % len(_NAMES)]
        yield _Item(buckets[index % len(buckets)], _header(generator, f"users/{index % 7}/{index:05d}/{name}", content, index), content)


def _content(generator: random.Random, index: int) -> bytes:
    """The first is empty; then text that compresses and bytes that do not, in turn."""
    size = 0 if index == 0 else generator.choice((1, 100, 4096, 20_000))
    return generator.randbytes(size) if index % 2 else (b"A line of a document.\n" * (size // 22 + 1))[:size]


def _header(generator: random.Random, key: str, content: bytes, index: int) -> Header:
    return Header(
        key=key,
        size=len(content),
        etag="",
        modified="",
        content_type=generator.choice(_TYPES),
        properties={"ContentDisposition": f'attachment; filename="{index}.pdf"', "CacheControl": "no-cache"} if index % 3 == 0 else {},
        metadata={"owner": f"user-{index % 7}", "checksum": f"{generator.getrandbits(64):016x}"} if index % 2 == 0 else {},
        tags={"class": "upload", "project": f"p {index % 3} & co/ü"} if index % 4 == 0 else {},
    )


def _put(s3: Any, item: _Item) -> None:
    upload.put(s3, item.bucket, item.header, item.content)
