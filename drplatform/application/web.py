"""HTTP as the services speak it: a small threaded server with routes, and a call to another service. Knows no documents."""

import http.client
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

from drplatform.model import errors
from drplatform.model.ports import Address

LARGEST = 16 * 1024 * 1024
"""Bytes of a body; more is refused with 413."""
SECONDS = 10.0
NAME = "X-File-Name"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes
    name: str = ""
    """What the uploader calls the file."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """What the route's pattern found in the path."""


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    kind: str = "application/json"


def said(status: int, **document: Any) -> Reply:
    return Reply(status, json.dumps(document).encode() + b"\n")


@dataclass(frozen=True)
class Route:
    """`path` is a pattern that must match the whole path; its named groups are the request's parts."""

    method: str
    path: str
    handle: Callable[[Request], Reply]


class Server:
    """Serves the routes until it is closed. Requests that are being answered are answered to their end."""

    def __init__(self, at: Address, routes: Sequence[Route]) -> None:
        self._http = _Http((at.host, at.port), _Handler)
        self._http.routes = tuple(routes)

    @property
    def address(self) -> Address:
        host, port = self._http.server_address[:2]
        return Address(str(host), int(port))

    def serve(self) -> None:
        """Returns when it was stopped, and every request was answered."""
        try:
            self._http.serve_forever(poll_interval=0.05)
        finally:
            self._http.server_close()

    def stop(self) -> None:
        """May be called from a signal handler: does not wait."""
        threading.Thread(target=self._http.shutdown).start()


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128
    routes: tuple[Route, ...] = ()


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    timeout = SECONDS
    server_version, sys_version = "drplatform", ""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        reply = self._reply()
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def _reply(self) -> Reply:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LARGEST:
            return said(413, error=f"A body has a length, of at most {LARGEST} bytes.")
        request = Request(self.command, self.path, self.rfile.read(int(length)), unquote(self.headers.get(NAME, "")))
        return dispatch(self.server.routes, request)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged: health checks would fill the disk."""


def dispatch(routes: Sequence[Route], request: Request) -> Reply:
    """What the route says. A store that does not answer is 503, with what is wrong."""
    for route in routes:
        match = re.fullmatch(route.path, request.path)
        if match and route.method == request.method:
            try:
                return route.handle(Request(request.method, request.path, request.body, request.name, match.groupdict()))
            except errors.StoreError as error:
                return said(503, error=str(error))
    return said(404, error=f"There is no {request.method} {request.path}.")


def call(at: Address, method: str, path: str, body: bytes = b"", name: str = "", timeout: float = SECONDS) -> Reply:
    """Ask another service. Raises StoreError when it does not answer."""
    connection = http.client.HTTPConnection(at.host, at.port, timeout=timeout)
    try:
        connection.request(method, path, body, {NAME: quote(name)} if name else {})
        answer = connection.getresponse()
        return Reply(answer.status, answer.read(), answer.headers.get("Content-Type", ""))
    except (OSError, http.client.HTTPException) as error:
        raise errors.StoreError(f"Nothing answers at {at} ({type(error).__name__}: {error}).") from error
    finally:
        connection.close()
