"""`drplatform agent`: captures, schedules, watching and alerts in one process, for those without CronJobs."""

import http.server
import threading
from typing import Any

import click

from drplatform.cli import options, vault
from drplatform.engine.agent import Agent
from drplatform.environment import Environment, Where
from drplatform.model import errors


@click.command()
@click.option("--listen", default="127.0.0.1:9108", show_default=True, help="Where /metrics and /healthz are served.")
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0, min_open=True), help="End after so many seconds.  [default: when interrupted]"
)
@vault.vault_options
def agent(listen: str, seconds: float | None, where: Where) -> int:
    """Capture logs, take the policy's backups at their times, prune, verify, watch and alert, until it is interrupted.

    Serves /metrics for Prometheus and /healthz (200 while everything runs, else 503 and why). Two agents on the same vault share the
    work: each store is captured by one of them, each job is done once.

    \b
    Examples:
      drplatform agent --config drplatform.yaml
      curl http://127.0.0.1:9108/metrics
    """
    env = Environment.open(options.settings()).under(where)
    running = env.agent(where, lambda text: click.echo(text, err=True))
    server = _server(env, running, listen)
    threads = [threading.Thread(target=running.run, name="agent"), threading.Thread(target=server.serve_forever, name="http")]
    try:
        for thread in threads:
            thread.start()
        click.echo(f"The agent runs; http://{server.server_address[0]!s}:{server.server_address[1]}/metrics", err=True)
        env.clock.wait(threading.Event(), seconds if seconds is not None else threading.TIMEOUT_MAX)
    finally:
        running.stop.set()
        server.shutdown()
        for thread in threads:
            thread.join()
        server.server_close()
    return 0


def _server(env: Environment, running: Agent, listen: str) -> http.server.ThreadingHTTPServer:
    """Raises SettingsError."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise errors.SettingsError(f"--listen takes HOST:PORT, not {listen!r}.")

    class Pages(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path == "/metrics":
                kind, body = env.metrics(running)
                self._answer(200, kind, body)
            elif self.path == "/healthz":
                wrong = running.healthy()
                self._answer(503 if wrong else 200, "text/plain; charset=utf-8", (wrong or "ok").encode() + b"\n")
            else:
                self._answer(404, "text/plain; charset=utf-8", b"There are /metrics and /healthz.\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Who looks at the metrics is no news."""

    try:
        return http.server.ThreadingHTTPServer((host, int(port)), Pages)
    except OSError as error:
        raise errors.SettingsError(f"The agent cannot listen at {listen} ({error.strerror}); choose another --listen.") from error
