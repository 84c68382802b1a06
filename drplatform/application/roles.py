"""The services: what each does beside answering for its health. A service is its routes, and perhaps work of its own."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from drplatform.application import documents, web
from drplatform.application.clients import Clients
from drplatform.application.pdf import KIND
from drplatform.application.settings import Settings
from drplatform.application.web import Reply, Request, Route, said
from drplatform.model import errors

ONE, PDF = r"/documents/(?P<id>[0-9a-f]{32})", r"/documents/(?P<id>[0-9a-f]{32})/pdf"
SECONDS_OF_PATIENCE = 1
"""How long a worker waits for a job, and after an error."""

Work = Callable[[threading.Event], None]


@dataclass(frozen=True)
class Role:
    """`work` runs beside the server until its event is set."""

    routes: tuple[Route, ...]
    work: Work | None = None


def make(role: str, settings: Settings, clients: Clients) -> Role:
    """The service of that name with its health and readiness. Raises SettingsError when there is none."""
    if role not in _MAKERS:
        raise errors.SettingsError(f"The reference application has no service {role!r}; it has {', '.join(_MAKERS)}.")
    made = _MAKERS[role](settings, clients)
    return Role((*_health(role, settings, clients), *made.routes), made.work)


def _health(role: str, settings: Settings, clients: Clients) -> Sequence[Route]:
    def healthy(request: Request) -> Reply:
        return said(200, service=role, region=settings.region)

    def ready(request: Request) -> Reply:
        found = {name: _trouble(name, settings, clients) for name in settings.depends_on}
        return said(503 if any(found.values()) else 200, service=role, depends_on=found)

    return Route("GET", "/healthz", healthy), Route("GET", "/readyz", ready)


def _trouble(name: str, settings: Settings, clients: Clients) -> str:
    """Why a thing that the service depends on cannot be used; empty when it can."""
    try:
        if name in settings.stores:
            clients.reach(name)
        else:
            _called(settings, name, Request("GET", "/healthz", b""))
    except errors.StoreError as error:
        return str(error)
    return ""


def _called(settings: Settings, name: str, request: Request) -> Reply:
    if name not in settings.services:
        raise errors.StoreError(f"Nobody has told this service where {name} is; deploy it again.")
    reply = web.call(settings.services[name], request.method, request.path, request.body, request.name)
    if reply.status >= 500:
        raise errors.StoreError(f"{name} cannot answer: {reply.body[:300].decode(errors='replace').strip()}")
    return reply


def _api(settings: Settings, clients: Clients) -> Role:
    def take(request: Request) -> Reply:
        document = documents.take(clients, request.name, request.body)
        return said(201, id=document["_id"])

    def read(request: Request) -> Reply:
        found = documents.read(clients, request.parts["id"])
        return Reply(200, json.dumps(found).encode()) if found else _unknown()

    def fetch(request: Request) -> Reply:
        found = documents.fetch_pdf(clients, request.parts["id"])
        return Reply(200, found, KIND) if found is not None else _unknown()

    def remove(request: Request) -> Reply:
        return said(200) if documents.remove(clients, request.parts["id"]) else _unknown()

    return Role((Route("POST", "/uploads", take), Route("GET", ONE, read), Route("GET", PDF, fetch), Route("DELETE", ONE, remove)))


def _unknown() -> Reply:
    return said(404, error="There is no such document, or it is not ready yet.")


def _worker(settings: Settings, clients: Clients) -> Role:
    def work(stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                documents.take_up(clients)
                while not stop.is_set() and (id := documents.next_job(clients, SECONDS_OF_PATIENCE)):
                    documents.work(clients, id)
                    documents.finish(clients, id)
            except errors.StoreError:  # shown by /readyz; the job is taken up again
                stop.wait(SECONDS_OF_PATIENCE)

    return Role((), work)


def _gateway(settings: Settings, clients: Clients) -> Role:
    def forward(request: Request) -> Reply:
        return _called(settings, "api", request)

    paths = (("POST", "/uploads"), ("GET", ONE), ("GET", PDF), ("DELETE", ONE))
    return Role(tuple(Route(method, path, forward) for method, path in paths))


def _reporting(settings: Settings, clients: Clients) -> Role:
    return Role((Route("GET", "/report", lambda request: said(200, **documents.counts(clients))),))


_MAKERS: Mapping[str, Callable[[Settings, Clients], Role]] = {
    "api": _api,
    "worker": _worker,
    "gateway": _gateway,
    "reporting": _reporting,
}
