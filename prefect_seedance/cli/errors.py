"""Error messages, for people and for programs."""

import json as jsons
import sys
import textwrap
from functools import partial

from prefect_seedance.cli.printing import terminal
from prefect_seedance.printable import escape


def complain(kind: str, message: str, *, code: int, json: bool) -> int:
    """Print why there is no result, and return the exit code.

    Args:
        kind: The kind of error, for programs.
        message: The problem and its remedy, for people.
        code: The exit code.
        json: Whether to print JSON too.
    """
    _print(message)
    if json:
        print(jsons.dumps({"error": {"kind": kind, "message": message}, "exit_code": code}))  # noqa: T201 -- the command's output
    return code


def warn(message: str) -> None:
    """Print a warning for each line of the message; the command continues."""
    for line in message.splitlines():
        _print(f"warning: {line}")


def _print(message: str) -> None:
    text = f"prefect-seedance: {escape(message, keep=chr(10))}"
    console = terminal(error=True)
    if console.is_terminal:  # which would wrap within words, too
        wrap = partial(textwrap.fill, width=console.width, break_long_words=False, break_on_hyphens=False)
        text = "\n".join(map(wrap, text.split("\n")))
    print(text, file=sys.stderr)  # noqa: T201 -- likewise
