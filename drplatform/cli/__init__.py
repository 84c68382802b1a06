"""The `drplatform` command. Thin: reads arguments, calls the composition, prints, and maps errors to exit codes, once, here.

Exit codes: 0 passed, 1 failed, 2 inconclusive or could not run, 130 interrupted.
"""

import signal
import sys
import traceback

import click

import drplatform
from drplatform.cli import (
    access,
    agent,
    anomalies,
    audit,
    capture,
    catalogue,
    compliance,
    config,
    configuration,
    coverage,
    drills,
    evidence,
    examples,
    failover,
    faults,
    files,
    gameday,
    holds,
    interchange,
    keys,
    platforms,
    reference,
    replicate,
    report,
    restoring,
    retention,
    runbook,
    schedule,
    vault,
    verifying,
)
from drplatform.environment import interrupts
from drplatform.model import errors

COULD_NOT_RUN, INTERRUPTED = 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(drplatform.__version__, prog_name="drplatform")
def cli() -> None:
    """Proves that a platform can be recovered: takes backups, causes disasters, measures the recovery, leaves evidence.

    \b
    Try:
      drplatform drill run features/monthly/database_recovery.feature
      drplatform platform up
      drplatform backups list
    """


cli.add_command(drills.group)
cli.add_command(drills.heal)
cli.add_command(evidence.group)
cli.add_command(compliance.group)
cli.add_command(compliance.gate)
cli.add_command(coverage.coverage)
cli.add_command(report.group)
cli.add_command(runbook.group)
cli.add_command(gameday.gameday)
cli.add_command(runbook.review)
cli.add_command(platforms.group)
cli.add_command(failover.group)
cli.add_command(vault.group)
cli.add_command(capture.capture)
cli.add_command(replicate.replicate)
cli.add_command(agent.agent)
cli.add_command(configuration.group)
cli.add_command(config.group)
cli.add_command(access.group)
cli.add_command(audit.group)
vault.group.add_command(verifying.verify)
vault.group.add_command(restoring.restore)
vault.group.add_command(restoring.operations)
vault.group.add_command(retention.prune)
vault.group.add_command(retention.undelete)
for each in (holds.hold, holds.release, holds.holds):
    vault.group.add_command(each)
vault.group.add_command(anomalies.anomalies)
vault.group.add_command(retention.recoverability)
cli.add_command(schedule.group)
cli.add_command(vault.keys)
for each in (keys.rotate, keys.escrow, keys.recover, keys.check, keys.shred):
    vault.keys.add_command(each)
cli.add_command(interchange.mongodb)
cli.add_command(interchange.redis)
cli.add_command(files.group)
cli.add_command(catalogue.steps)
cli.add_command(faults.group)
cli.add_command(faults.stop)
cli.add_command(catalogue.policy)
cli.add_command(reference.completion)
cli.add_command(reference.reference)
examples.attach(cli)


def main() -> None:
    """The console entry point."""
    handler = interrupts.Interrupts()
    signal.signal(signal.SIGTERM, handler)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. An error that drplatform foresees is one sentence on standard error."""
    try:
        return int(cli.main(arguments, prog_name="drplatform", standalone_mode=False) or 0)
    except errors.DrplatformError as error:
        click.echo(f"drplatform: {error}", err=True)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("drplatform: interrupted; everything that was started has been stopped.", err=True)
        return INTERRUPTED
    except OSError as error:
        click.echo(f"drplatform: The command could not go on: {error}.", err=True)
        return COULD_NOT_RUN
    except Exception as error:  # noqa: BLE001  a face: exit code 1 would say that a recovery had failed
        traceback.print_exception(error)
        click.echo("drplatform: A defect of drplatform ended the command; it proves nothing, in either direction.", err=True)
        return COULD_NOT_RUN
