"""`drplatform completion` and `drplatform reference`: what the command line can say of itself."""

import inspect
import re
from collections.abc import Iterator

import click
from click.shell_completion import get_completion_class

from drplatform.cli import examples

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print what SHELL needs to complete commands and options.

    \b
    drplatform completion bash > ~/.local/share/bash-completion/completions/drplatform
    drplatform completion fish > ~/.config/fish/completions/drplatform.fish
    """
    found = get_completion_class(shell)
    assert found
    click.echo(found(context.find_root().command, {}, "drplatform", "_DRPLATFORM_COMPLETE").source())
    return 0


@click.command()
@click.pass_context
def reference(context: click.Context) -> int:
    """Print the reference of all commands as Markdown.

    \b
    drplatform reference > docs/reference.md
    """
    root = context.find_root().command
    assert isinstance(root, click.Group)
    click.echo("# Reference of the commands\n\nMade from the commands themselves by `make docs`.")
    for words, command in examples.commands(root):
        click.echo("\n".join(_section(words, command)))
    return 0


def _section(words: str, command: click.Command) -> Iterator[str]:
    """Written here and not by click, whose layout changes with its versions and with the terminal."""
    arguments = [param.human_readable_name for param in command.params if isinstance(param, click.Argument)]
    yield f"\n## drplatform {' '.join([words, *arguments])}\n\n```"
    yield _plain(command.help)
    if command.epilog:
        yield f"\n{_plain(command.epilog)}"
    yield "```\n"
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            yield f"- `{', '.join(param.opts)}`: {param.help or 'see above'}"


def _plain(text: str | None) -> str:
    return re.sub(r" *\x08\n", "", inspect.cleandoc(text or "")).strip()
