"""The life of a document: taken, worked on, read, removed. All of what the stores hold is written here and nowhere else.

The order of writes matters: what is referred to is written before what refers to it, and removed after it.
"""

import hashlib
import json
import uuid
from typing import Any

from botocore.exceptions import ClientError

from drplatform.application import pdf
from drplatform.application.clients import CACHE, JOBS, PDFS, UPLOADS, WORKING, Clients, Document, answering
from drplatform.model import errors

WAITING, DONE = "waiting", "done"
_SHOWN = ("_id", "name", "status", "bytes", "sha256", "version", "upload", "pdf")


def take(clients: Clients, name: str, content: bytes) -> Document:
    """Keep an upload: object, document, cached copy, job."""
    id = uuid.uuid4().hex
    upload = f"application/{id}"
    document = {
        "_id": id,
        "name": name,
        "status": WAITING,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "version": 1,
        "upload": upload,
        "pdf": "",
    }
    with answering("an upload's store"):
        clients.files.put_object(Bucket=UPLOADS, Key=upload, Body=content)
        clients.documents.insert_one(document)
        _cache(clients, document)
        clients.redis.lpush(JOBS, id)
    return document


def read(clients: Clients, id: str) -> Document | None:
    """The cached copy, or else the document."""
    with answering("the document's store"):
        if cached := clients.redis.get(CACHE + id):
            found: Document = json.loads(str(cached))
            return found
        document = clients.documents.find_one({"_id": id})
        if document:
            _cache(clients, document)
        return document and shown(document)


def fetch_pdf(clients: Clients, id: str) -> bytes | None:
    """None when there is no such document, or its PDF is not there yet."""
    with answering("the document's store"):
        document = clients.documents.find_one({"_id": id})
        if not document or not document["pdf"]:
            return None
        return _object(clients, PDFS, document["pdf"])


def remove(clients: Clients, id: str) -> bool:
    """Take the document away with all that belongs to it; whether it was there."""
    with answering("the document's store"):
        clients.redis.delete(CACHE + id)
        for queue in (JOBS, WORKING):
            clients.redis.lrem(queue, 0, id)
        document = clients.documents.find_one_and_delete({"_id": id})
        if document:
            clients.files.delete_object(Bucket=UPLOADS, Key=document["upload"])
            clients.files.delete_object(Bucket=PDFS, Key=_pdf_key(id))
        clients.redis.delete(CACHE + id)  # a reader may have cached it in between
        return document is not None


def work(clients: Clients, id: str) -> bool:
    """Make the document's PDF. May be repeated. False when there is nothing to make it from."""
    with answering("the worker's store"):
        document = clients.documents.find_one({"_id": id})
        content = _object(clients, UPLOADS, document["upload"]) if document else None
        if document is None or content is None:
            return False
        if document["status"] != DONE:
            clients.files.put_object(Bucket=PDFS, Key=_pdf_key(id), Body=pdf.render(shown(document), content), ContentType=pdf.KIND)
            change = {"$set": {"status": DONE, "pdf": _pdf_key(id)}, "$inc": {"version": 1}}
            clients.documents.update_one({"_id": id, "status": WAITING}, change)
        clients.redis.delete(CACHE + id)  # and not a new copy: the document may be removed at this moment
        if not clients.documents.find_one({"_id": id}):  # it was removed while it was worked on
            clients.files.delete_object(Bucket=PDFS, Key=_pdf_key(id))
        return True


def next_job(clients: Clients, timeout: int) -> str | None:
    """The document to work on; it stays noted as being worked on until `finish`."""
    with answering("redis"):
        found = clients.redis.blmove(JOBS, WORKING, timeout, src="RIGHT", dest="LEFT")
        return str(found) if found else None


def finish(clients: Clients, id: str) -> None:
    with answering("redis"):
        clients.redis.lrem(WORKING, 0, id)


def take_up(clients: Clients) -> int:
    """Queue what nobody works on: jobs left by a worker that is gone, and waiting documents whose jobs were lost. How many."""
    with answering("the worker's store"):
        left = [str(id) for id in clients.redis.lrange(WORKING, 0, -1)]
        queued = {str(id) for id in clients.redis.lrange(JOBS, 0, -1)}
        waiting = [str(d["_id"]) for d in clients.documents.find({"status": WAITING}, {"_id": 1})]
        orphans = [id for id in dict.fromkeys((*left, *waiting)) if id not in queued]
        for id in orphans:
            clients.redis.lpush(JOBS, id)
            clients.redis.lrem(WORKING, 0, id)
        return len(orphans)


def counts(clients: Clients) -> dict[str, int]:
    """Documents by their status."""
    with answering("mongodb"):
        return {status: clients.documents.count_documents({"status": status}) for status in (WAITING, DONE)}


def shown(document: Document) -> Document:
    return {name: document[name] for name in _SHOWN}


def _cache(clients: Clients, document: Document) -> None:
    clients.redis.set(CACHE + document["_id"], json.dumps(shown(document)))


def _pdf_key(id: str) -> str:
    return f"application/{id}.pdf"


def _object(clients: Clients, bucket: str, key: str) -> bytes | None:
    try:
        answer: Any = clients.files.get_object(Bucket=bucket, Key=key)
        return bytes(answer["Body"].read())
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
            return None
        raise errors.StoreError(f"The object {key} in {bucket} cannot be read: {error}") from error
