"""Empties a MongoDB between restores."""

import real_servers

from drplatform.model.ports import Endpoint


def empty(endpoint: Endpoint) -> None:
    with real_servers.mongodb_client(endpoint) as client:
        for name in client.list_database_names():
            if name not in ("admin", "local", "config"):
                client.drop_database(name)
        client.app.command("dropAllUsersFromDatabase")
