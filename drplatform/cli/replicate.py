"""`drplatform replicate`: a store without replication of its own, kept in step in another region."""

import threading

import click

from drplatform.cli import options, vault
from drplatform.engine.replicating import Replicating
from drplatform.environment import Environment, Where
from drplatform.model import errors

TELL_SECONDS = 10.0


@click.command()
@click.argument("store")
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0, min_open=True), help="End after so many seconds.  [default: when interrupted]"
)
@vault.vault_options
def replicate(store: str, seconds: float | None, where: Where) -> int:
    """Keep the replica of a STORE (files) that the configuration names as the store is, with deletes, until interrupted.

    What was written while it was off is made up for. Refused when the replica holds what is newer than all of its primary: after a failover,
    swap the two in the configuration. The agent does this by itself.

    \b
    drplatform replicate files --config drplatform.yaml
    """
    env = Environment.open(options.settings())
    env.require_log()
    with env.replicas(where) as replicas, env.working(where) as (platform_store, _):
        if store not in replicas:
            raise errors.SettingsError(f"The configuration names no replica of {store!r}; add one to its replicas.")
        service = Replicating(platform_store(store), replicas[store].store, env.clock, _tell)
        with env.recorded("replication", store=store, target=replicas[store].address):
            _run(service, env, seconds)
    return 0


def _run(service: Replicating, env: Environment, seconds: float | None) -> None:
    """In the main thread; a timer ends it, and tells now and then how far it is."""
    stop, over = threading.Event(), threading.Event()
    deadline = env.clock.monotonic() + (seconds if seconds is not None else float("inf"))

    def watch() -> None:
        while (left := deadline - env.clock.monotonic()) > 0 and not env.clock.wait(over, min(TELL_SECONDS, left)):
            if (lag := service.lag()) is not None:
                _tell(f"{service.store.name} is replicated up to {lag:.1f} s ago")
        stop.set()

    watching = threading.Thread(target=watch, name="replication-watch", daemon=True)
    watching.start()
    try:
        service.run(stop)
    finally:
        over.set()
        watching.join()
    if (lag := service.lag()) is not None:
        click.echo(f"{service.store.name} was replicated up to {lag:.1f} s ago.")


def _tell(text: str) -> None:
    click.echo(text, err=True)
