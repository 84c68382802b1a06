"""What a person sees while a drill runs: one line for each thing that happens. Nothing here is measured."""

import click

from drplatform.model.timeline import Event


class Progress:
    """Prints events to standard error, with the seconds since the first one."""

    def __init__(self) -> None:
        self._origin: float | None = None

    def __call__(self, event: Event) -> None:
        if self._origin is None:
            self._origin = event.at.monotonic
        if text := _words(event):
            click.echo(f"{event.at.monotonic - self._origin:7.2f} s  {text}", err=True)


def _words(event: Event) -> str:
    detail = event.detail
    match event.name:
        case "drill.begin":
            return click.style(f"Drill {detail['id']}: {detail['scenario']} (seed {detail['seed']})", bold=True)
        case "activity.begin":
            return str(detail["text"])
        case "activity.failed":
            return click.style(f"  ✗ {detail['error']}", fg="red")
        case "step.begin":
            return f"    {detail['step']}"
        case "step.failed":
            return click.style(f"    ✗ {detail.get('step')}: {detail.get('error', '')}", fg="red")
        case "fault.confirmed":
            return click.style(f"    disaster confirmed: {detail['fault']} on {', '.join(detail['targets'])}", fg="yellow")
        case "backup.end":
            return f"    backup {detail['id']}: {detail['bytes']:,} bytes, chunks: {detail['chunks']}"
        case "mistake.found":
            return f"    found in the log: {detail['verb']} {detail['subject']} at {detail['at']}"
        case _:
            return ""
