"""`drplatform capture`: the continuous log of a store, sealed in the repository every second."""

import threading

import click

from drplatform.cli import options, vault
from drplatform.engine import monitor
from drplatform.engine.capturing import Capturing
from drplatform.environment import Environment, Where

TELL_SECONDS = 10.0


@click.command()
@click.argument("store")
@click.option("--recipient", "recipients", multiple=True, help="An age recipient (age1...).  [default: the one of `keys generate`]")
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0, min_open=True), help="End after so many seconds.  [default: when interrupted]"
)
@vault.vault_options
def capture(store: str, recipients: tuple[str, ...], seconds: float | None, where: Where) -> int:
    """Follow the log of a STORE (mongodb, redis) and keep it, so that it can be restored to any moment.

    Goes on where the backups end. Takes a full backup first where there is none, and when the log has a gap. Runs until it is
    interrupted; what came until then is sealed.
    """
    env = Environment.open(options.settings()).under(where)
    base = monitor.base_kind(env.policy, store)
    stop = threading.Event()
    with env.working(where) as (platform_store, repository):
        service = Capturing(platform_store(store), base, repository, env.recipients(recipients, where), env.clock, env.random(), _tell)
        with env.recorded("capture", store=store):
            worker = _Worker(service, stop)
            try:
                worker.watch(env, seconds)
            finally:
                stop.set()
                worker.join()
    if service.capture:
        click.echo(f"Captured {store} up to {service.capture.reached}.")
    return 0


class _Worker:
    """The service in a thread, so that an interruption of the main one ends it in order."""

    def __init__(self, service: Capturing, stop: threading.Event) -> None:
        self._service, self._stop = service, stop
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="capturing")
        self._ended = threading.Event()
        self._thread.start()

    def _run(self) -> None:
        try:
            self._service.run(self._stop)
        except BaseException as error:  # noqa: BLE001  the body of a thread: kept, and raised by join()
            self._error = error
        finally:
            self._ended.set()

    def watch(self, env: Environment, seconds: float | None) -> None:
        """Say how far it is now and then, until it ends or the time is over."""
        deadline = env.clock.monotonic() + (seconds if seconds is not None else float("inf"))
        while (left := deadline - env.clock.monotonic()) > 0 and not env.clock.wait(self._ended, min(TELL_SECONDS, left)):
            if self._service.capture:
                _tell(f"captured up to {self._service.capture.reached}; {self._service.behind():.1f} s old")

    def join(self) -> None:
        self._thread.join()
        if self._error:
            raise self._error


def _tell(text: str) -> None:
    click.echo(text, err=True)
