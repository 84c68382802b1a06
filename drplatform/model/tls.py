"""TLS to a server, by the options of its endpoint, whichever store it is of.

`tls`: `yes`, or `no` (the default). `tls_ca`: a file of those who may have signed the server's certificate, in the place of those whom the
system trusts. `tls_certificate` with `tls_key`: for a server that wants to know its clients. The name in the server's certificate must be the
address's host.
"""

import socket
import ssl

from drplatform.model import errors
from drplatform.model.ports import Address, Endpoint

OPTIONS = frozenset({"tls", "tls_ca", "tls_certificate", "tls_key"})


def secured(plain: socket.socket, endpoint: Endpoint, address: Address) -> socket.socket:
    """The connection, encrypted if the endpoint wants it. Else closes it and raises SettingsError, or OSError when the two do not agree."""
    try:
        return _context(endpoint).wrap_socket(plain, server_hostname=address.host) if _wanted(endpoint) else plain
    except BaseException:
        plain.close()
        raise


def _wanted(endpoint: Endpoint) -> bool:
    said = endpoint.options.get("tls", "no")
    if said not in ("yes", "no"):
        raise errors.SettingsError(f"The option `tls` of {endpoint.kind} is yes or no, not {said}.")
    return said == "yes"


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    """Made for each connection, so that certificates can be replaced beneath a capture."""
    try:
        context = ssl.create_default_context(cafile=endpoint.options.get("tls_ca"))
        if certificate := endpoint.options.get("tls_certificate"):
            context.load_cert_chain(certificate, endpoint.options.get("tls_key"))
        return context
    except OSError as error:
        raise errors.SettingsError(
            f"The certificates for {endpoint.kind} cannot be used ({error}); check tls_ca, tls_certificate and tls_key."
        ) from error
