"""Whether the commands that a text names would run: each is parsed as the program parses it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

import cli

_MARKED = re.compile(r"`(dped [^`]+)`")
_ON_A_LINE = re.compile(r"(?:(?<!Usage): |^ {2,}|^\$ )(dped [^`\n]+)$", re.MULTILINE)


def hints_in(text: str) -> list[str]:
    """The commands that a text names: in backticks, or after a colon or a margin to the end of the line."""
    return _MARKED.findall(text) + _ON_A_LINE.findall(text)


def parse(hint: str) -> None:
    """Parse `dped ...` with all types of its values; click's UsageError where it would not run."""
    words = shlex.split(hint)[1:]
    command: click.Command = cli.dped
    while isinstance(command, click.Group):
        name = words.pop(0)
        if name not in command.commands:
            raise click.UsageError(f"no command {name}")
        command = command.commands[name]
    command.make_context(command.name, words)


def options() -> Iterator[str]:
    """Every option of every command."""
    groups: list[click.Command] = [cli.dped]
    while groups:
        command = groups.pop()
        groups += command.commands.values() if isinstance(command, click.Group) else []
        for option in command.params:
            yield from (*option.opts, *option.secondary_opts)
