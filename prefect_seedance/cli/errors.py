"""Error messages, for people and for programs."""

import json as jsons
import sys

from cyclopts import default_name_transform

from prefect_seedance.printable import escape

_AMOUNTS = frozenset({"max_seconds"})
"""Fields that count seconds of video. They are not durations, so ``90m`` is no value of theirs."""


def option_name(field: str) -> str:
    """Return the option of a field. It drops the unit of a duration, because ``90m`` has its own."""
    return default_name_transform(field if field in _AMOUNTS else field.removesuffix("_seconds"))


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
    print(f"prefect-seedance: {escape(message, keep=chr(10))}", file=sys.stderr)  # noqa: T201 -- likewise
