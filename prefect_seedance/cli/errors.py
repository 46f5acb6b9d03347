"""Say what is wrong, for people and, if they listen, for programs."""

import json as jsons
import sys


def complain(kind: str, message: str, *, code: int, json: bool) -> int:
    """Say why there is no result, and return the exit code.

    Args:
        kind: What went wrong, for programs.
        message: What went wrong and what to do, for people.
        code: The exit code.
        json: Whether programs listen.
    """
    _say(message)
    if json:
        print(jsons.dumps({"error": {"kind": kind, "message": message}, "exit_code": code}))  # noqa: T201 -- likewise
    return code


def warn(message: str) -> None:
    """Say what people should know before it goes on."""
    _say(f"Beware: {message}")


def _say(message: str) -> None:
    print(f"prefect-seedance: {message}", file=sys.stderr)  # noqa: T201 -- the command's voice
