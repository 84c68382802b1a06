"""One connection to an S3 server with exact deadlines, and exact knowledge of whether a request left: for the ledger's writes and the
prober. The general client repeats and times out by rules of its own; this one never repeats.

Request signing is AWS Signature Version 4 (docs.aws.amazon.com, "Authenticating Requests"), as botocore implements it.
"""

import contextlib
import http.client
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint
from drplatform.stores.files import access

_UNREACHED = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def code(self) -> str:
        """The S3 error code in the body, if there is one."""
        _, _, after = self.body.partition(b"<Code>")
        return after.partition(b"</Code>")[0].decode("ascii", "replace")

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.code}".strip()


class Wire:
    """Used by one thread. Connects when needed; a connection on which anything failed is closed."""

    def __init__(self, endpoint: Endpoint, clock: Clock, bucket: str) -> None:
        keys = access.credentials(endpoint)
        self._signer = S3SigV4Auth(Credentials(keys.user, keys.password.reveal()), "s3", endpoint.options.get("region", access.REGION))
        self._endpoint, self._clock, self._bucket = endpoint, clock, bucket
        self._connection: http.client.HTTPConnection | None = None

    def connect(self, deadline: float) -> None:
        """Have a connection on which the server has answered: behind a proxy, a mere connection says nothing about the server.

        The bucket is made when it is missing. Raises NotWritten.
        """
        if self._connection and not _ended(self._connection.sock):
            return
        self.close()
        self._connection = self._dialled(deadline)
        try:
            self._greet(deadline)
        except errors.StoreError as error:
            self.close()
            raise errors.NotWritten(f"The write was not sent: {error}") from error

    def request(self, method: str, key: str, body: bytes, deadline: float) -> Answer:
        """One exchange. Raises Indeterminate when no answer came in time: the server may or may not have done it; NotWritten when not sent."""
        if self._connection is None:
            raise errors.NotWritten(f"{self._endpoint.addresses[0]} has closed the connection after its last answer.")
        try:
            return self._exchange(self._connection, method, key, body, deadline)
        except _UNREACHED as error:
            self.close()
            raise errors.Indeterminate(f"{self._endpoint.addresses[0]} did not answer: {_words(error)}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _dialled(self, deadline: float) -> http.client.HTTPConnection:
        address, seconds = self._endpoint.addresses[0], self._left(deadline)
        secure = self._endpoint.options.get("scheme") == "https"
        kind: Callable[..., http.client.HTTPConnection] = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(address.host, address.port, timeout=seconds)
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            connection.close()
            raise errors.NotWritten(f"{address} is not reached: {_words(error)}") from error

    def _greet(self, deadline: float) -> None:
        answer = self.request("HEAD", "", b"", deadline)
        if answer.status == 404:
            answer = self.request("PUT", "", b"", deadline)
        if answer.status >= 400 and answer.status != 409:
            raise errors.StoreError(f"the server answers {answer} when asked for the bucket {self._bucket}")

    def _exchange(self, connection: http.client.HTTPConnection, method: str, key: str, body: bytes, deadline: float) -> Answer:
        path = quote(f"/{self._bucket}/{key}" if key else f"/{self._bucket}", safe="/~")
        signed = AWSRequest(method, f"{access.url(self._endpoint)}{path}", data=body)
        self._signer.add_auth(signed)
        connection.sock.settimeout(self._left(deadline))
        connection.request(method, path, body, dict(signed.headers))
        connection.sock.settimeout(self._left(deadline))
        with contextlib.closing(connection.getresponse()) as response:
            answer = Answer(response.status, response.read())
        if connection.sock is None:  # the server has asked to close it
            self._connection = None
        return answer

    def _left(self, deadline: float) -> float:
        return max(0.001, deadline - self._clock.monotonic())


def _ended(sock: socket.socket | None) -> bool:
    """Whether an idle connection was closed by the server: it has something to read."""
    return sock is None or bool(select.select([sock], [], [], 0)[0])


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
