"""What the reference application's stores say of each other, and which of their references lead nowhere. Pure.

An upload is an object, a document that names it, a cached copy of the document, and a job that names the document; the job's work is a PDF,
which the document names when it is done. Stores that come back from different moments break exactly these.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Document:
    """`version` counts its changes; `pdf` is empty until it was generated."""

    id: str
    upload: str
    pdf: str
    version: int


@dataclass(frozen=True)
class References:
    """All of it at one look: documents by id, versions of cached copies by document, documents of jobs, keys of uploads and PDFs."""

    documents: Mapping[str, Document]
    cached: Mapping[str, int]
    jobs: Set[str]
    uploads: Set[str]
    pdfs: Set[str]


@dataclass(frozen=True)
class Dangling:
    """References that lead nowhere, by kind: ids of the documents, cached copies or jobs that hold them."""

    without_upload: tuple[str, ...]
    without_pdf: tuple[str, ...]
    cached_ahead: tuple[str, ...]
    jobs_without_document: tuple[str, ...]

    @property
    def count(self) -> int:
        return sum(len(ids) for ids in vars(self).values())

    def words(self) -> list[str]:
        """Each kind that there is, with how many and the first."""
        sentences = {
            "without_upload": "documents name an upload that is not there",
            "without_pdf": "documents name a PDF that is not there",
            "cached_ahead": "cached documents are newer than the database",
            "jobs_without_document": "jobs name a document that is not there",
        }
        return [f"{len(ids)} {sentences[kind]}, first {ids[0]}" for kind, ids in vars(self).items() if ids]


def dangling(found: References) -> Dangling:
    """A cached copy is ahead also when its document is gone."""
    documents = found.documents.values()
    return Dangling(
        tuple(sorted(d.id for d in documents if d.upload not in found.uploads)),
        tuple(sorted(d.id for d in documents if d.pdf and d.pdf not in found.pdfs)),
        tuple(sorted(id for id, version in found.cached.items() if version > _version(found, id))),
        tuple(sorted(found.jobs - found.documents.keys())),
    )


def planted(found: References) -> tuple[References, ...]:
    """The same with one defect each, of every kind: a checker that does not count one more in each is blind."""
    stranger = Document("planted", "uploads/planted", "pdfs/planted", 1)
    with_upload = {*found.uploads, stranger.upload}
    known = {**found.documents, stranger.id: stranger}
    return (
        replace(found, documents={**known, stranger.id: replace(stranger, pdf="")}),
        replace(found, documents=known, uploads=with_upload),
        replace(
            found, documents={**known, stranger.id: replace(stranger, pdf="")}, uploads=with_upload, cached={**found.cached, "planted": 2}
        ),
        replace(found, jobs={*found.jobs, "planted"}),
    )


def _version(found: References, id: str) -> int:
    return found.documents[id].version if id in found.documents else 0
