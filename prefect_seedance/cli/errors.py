"""Error messages, for people and for programs."""

import json as jsons
import sys

from cyclopts import CycloptsError, default_name_transform
from pydantic import ValidationError

from prefect_seedance.printable import escape

_HOUR = 3600

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


def usage_message(error: CycloptsError) -> str:
    """Describe a wrong command line in one sentence, with the page that helps."""
    command = " ".join(("prefect-seedance", *(error.command_chain or ())))
    cause = error.__cause__
    text = _invalid(cause, error) if isinstance(cause, ValidationError) else str(error)
    sentence = text if text.endswith(("?", "...")) else f"{text.strip().rstrip('.')}."
    return f"{sentence} See {command} --help"


def _invalid(invalid: ValidationError, error: CycloptsError) -> str:
    """Name the first option with an invalid value, the problem and the value."""
    first = invalid.errors(include_url=False)[0]
    option = f"--{option_name(str(first['loc'][0]))}" if first["loc"] else _name(error)
    is_duration = bool(first["loc"]) and str(first["loc"][-1]).endswith("_seconds")
    limit, value = first.get("ctx", {}).get("le"), first["input"]
    if limit and is_duration:
        problem = f"must be at most {limit / _HOUR:g}h" if limit >= _HOUR else f"must be at most {limit:g}s"
    else:
        problem = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    shown = f"{value:g}s" if is_duration and isinstance(value, float) else repr(value)
    return f"{option}: {problem}, not {shown}"


def _name(error: CycloptsError) -> str:
    return error.argument.name if error.argument else "The command line"


def _print(message: str) -> None:
    print(f"prefect-seedance: {escape(message, keep=chr(10))}", file=sys.stderr)  # noqa: T201 -- likewise
