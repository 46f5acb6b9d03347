"""One sentence about a wrong command line."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
)
from cyclopts.exceptions import UnusedCliTokensError
from pydantic import ValidationError

from prefect_seedance.doors import option_name

_HOUR = 3600

_PHRASES = {
    "path_not_directory": "must be an existing folder",
    "path_not_file": "must be an existing file",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "decimal_parsing": "must be a number such as 0.05",
}
"""Pydantic's errors, in words for people at a command line."""

_TYPES: Mapping[object, str] = {
    int: "a whole number",
    float: "a number",
    Decimal: "a number such as 0.05",
    bool: "yes or no",
}


def usage_message(error: CycloptsError, commands: Sequence[str]) -> str:
    """Describe a wrong command line in one sentence, with the page that helps.

    Args:
        error: What the parser raised.
        commands: The names of all commands.
    """
    command = " ".join(("prefect-seedance", *(error.command_chain or ())))
    name = command.removeprefix("prefect-seedance ")
    match error:
        case UnknownCommandError():
            text = _unknown_command((error.unused_tokens or [""])[0], commands)
        case UnknownOptionError():
            text = _unknown_option(error, name)
        case MissingArgumentError():
            text = _missing(error)
        case UnusedCliTokensError():
            text = f"{name} takes fewer values; leave out {_enumerate(error.unused_tokens or ())}"
        case CoercionError() if error.token and not isinstance(error.__cause__, ValidationError):
            text = _unreadable(error)
        case _ if isinstance(error.__cause__, ValidationError):
            text = _invalid(error.__cause__, error)
        case _:
            text = str(error).strip().rstrip(".")
    return f"{text}{'' if text.endswith('?') else '.'} See {command} --help"


def _unknown_command(word: str, commands: Sequence[str]) -> str:
    suggestion = _suggest(word, commands)
    return f"There is no command {word!r}{suggestion or '; the commands are ' + ', '.join(commands)}"


def _unknown_option(error: UnknownOptionError, command: str) -> str:
    option = (error.token.keyword or error.token.value).partition("=")[0]
    names = [name for each in error.argument_collection for name in each.names if name.startswith("--")]
    return f"{command} has no option {option}{_suggest(option, names)}"


def _missing(error: MissingArgumentError) -> str:
    """Tell an option without its value from one that is required and absent."""
    assert error.argument is not None  # noqa: S101 -- cyclopts always sets it
    tokens = [token.keyword for token in error.argument.tokens if token.keyword]
    keyword = error.keyword or (tokens[-1] if tokens else None)
    if keyword:
        return f"{keyword} needs a value"
    variables = tuple(error.argument.parameter.env_var or ())
    name = error.argument.name
    return f"Give {name}, or set {variables[0]}" if variables else f"Give {name}"


def _unreadable(error: CoercionError) -> str:
    """Name the option with a value of another type, or the values that it takes."""
    choices = error.argument.get_choices() if error.argument else None
    named = _TYPES.get(error.target_type, "another value")
    expected = f"one of {', '.join(choices)}" if choices else named
    value = error.token.value if error.token else ""
    return f"{_name(error)}: must be {expected}, not {value!r}"


def _invalid(invalid: ValidationError, error: CycloptsError) -> str:
    """Name the first option with an invalid value, the problem and the value."""
    first = invalid.errors(include_url=False)[0]
    option = f"--{option_name(str(first['loc'][0]))}" if first["loc"] else _name(error)
    is_duration = bool(first["loc"]) and str(first["loc"][-1]).endswith("_seconds")
    limit, value = first.get("ctx", {}).get("le"), first["input"]
    if limit and is_duration:
        problem = f"must be at most {limit / _HOUR:g}h" if limit >= _HOUR else f"must be at most {limit:g}s"
    else:
        plain = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        plain = plain.replace("less than or equal to", "at most").replace(
            "greater than or equal to", "at least"
        )
        problem = _PHRASES.get(first["type"], plain)
    shown = f"{value:g}s" if is_duration and isinstance(value, float) else repr(value)
    return f"{option}: {problem}, not {shown}"


def _name(error: CycloptsError) -> str:
    return error.argument.name if error.argument else "The command line"


def _suggest(word: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, names, n=1)
    return f". Did you mean {close[0]}?" if close else ""


def _enumerate(words: Iterable[str]) -> str:
    return ", ".join(repr(word) for word in words)
