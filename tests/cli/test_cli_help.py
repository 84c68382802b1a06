"""The command line explains itself: every command has an example, whose options exist; shells complete; the reference is current."""

import shlex
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from drplatform.cli import cli, examples

COMMANDS = dict(examples.commands(cli))
DOCS = Path(__file__).parents[2] / "docs"


def command_of(words):
    for length in (3, 2, 1):
        if found := COMMANDS.get(" ".join(words[:length])):
            return found, words[length:]
    raise AssertionError(words)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_says_what_it_does_and_has_an_example_that_it_takes(words):
    command = COMMANDS[words]
    lines = examples.of(command)
    assert command.help and lines, words
    for line in lines:
        found, arguments = command_of(shlex.split(line.partition(" > ")[0])[1:])
        with click.Context(found, resilient_parsing=True, **cli.context_settings) as context:
            found.make_parser(context).parse_args(list(arguments))


def test_an_example_with_an_option_that_is_none_is_found():
    with click.Context(COMMANDS["backups list"], **cli.context_settings) as context, pytest.raises(click.NoSuchOption):
        COMMANDS["backups list"].make_parser(context).parse_args(["--never-made"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(home, shell):
    told = home("completion", shell)
    assert told.code == 0 and f"_DRPLATFORM_COMPLETE={shell}_complete" in told.out


def test_commands_are_completed():
    offered = ShellComplete(cli, {}, "drplatform", "_DRPLATFORM_COMPLETE").get_completions(["keys"], "")
    assert {"generate", "rotate", "escrow", "recover", "check", "shred"} <= {item.value for item in offered}


def test_the_reference_and_the_schema_are_current(home):
    assert home("reference").out == (DOCS / "reference.md").read_text(), "run: make docs"
    assert home("config", "schema").out == (DOCS / "drplatform.schema.json").read_text(), "run: make docs"


def test_the_commands_of_the_how_to_exist():
    lines = [line.strip() for line in (DOCS / "how-to.md").read_text().splitlines() if line.strip().startswith("drplatform ")]
    assert len(lines) > 15
    for line in lines:
        found, arguments = command_of(shlex.split(line)[1:])
        with click.Context(found, resilient_parsing=True, **cli.context_settings) as context:
            found.make_parser(context).parse_args(list(arguments))
