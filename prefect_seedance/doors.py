"""Name options, fields of the account and commands as the reader of a message sets them."""

import functools
import json
import shlex
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Final, ParamSpec, TypeVar

from cyclopts import default_name_transform
from pydantic import BaseModel

from prefect_seedance.options import Budget, Hosting, Loading, Output, RetryPolicy, Waiting

API_KEY_VARIABLE: Final = "SEEDANCE_API_KEY"
ARCHIVE_VARIABLE: Final = "SEEDANCE_ARCHIVE"
BASE_URL_VARIABLE: Final = "SEEDANCE_BASE_URL"
CALLBACK_SECRET_VARIABLE: Final = "SEEDANCE_CALLBACK_SECRET"  # noqa: S105 -- a name, no secret
MODELS_VARIABLE: Final = "SEEDANCE_MODELS"


_P = ParamSpec("_P")
_T = TypeVar("_T")


class Door(StrEnum):
    """Where a person calls the package from, and so where they read its messages."""

    command = "command"
    """The command line: options."""
    prefect = "prefect"
    """A flow of this package or a Seedance Clip block: flow parameters, and fields of blocks."""
    python = "python"
    """A program, or a flow that its author wrote: arguments."""


_door: ContextVar[Door] = ContextVar("door", default=Door.python)

_ARGUMENTS: Final[Mapping[type[BaseModel], str]] = {
    Loading: "loading",
    Hosting: "hosting",
    RetryPolicy: "retry",
    Budget: "budget",
    Waiting: "waiting",
    Output: "output",
}
"""The argument of ``produce`` for each option class."""

_AMOUNTS: Final = frozenset({"max_seconds"})
"""Fields that count seconds of video. They are not durations, so ``90m`` is no value of theirs."""

_VARIABLES: Final[Mapping[str, str]] = {
    "api_key": API_KEY_VARIABLE,
    "base_url": BASE_URL_VARIABLE,
    "callback_secret": CALLBACK_SECRET_VARIABLE,
    "models": MODELS_VARIABLE,
}
"""The environment variable of each field of the account that has one."""

_OPTIONS_OF_ACCOUNT: Final[Mapping[str, str]] = {"allow_hosts": "--allow-host"}
"""The option of each field of the account that has one."""

_FLOWS: Final[Mapping[str, str]] = {
    "resolve": "resolve-submissions",
    "rescue": "rescue-clips",
    "film": "join-film",
}
"""The flow that does the work of a command. It takes the archive and, for a film, the production."""


@contextmanager
def entered(door: Door) -> Iterator[None]:
    """Name everything in messages as it is named at this door."""
    token = _door.set(door)
    try:
        yield
    finally:
        _door.reset(token)


def through(door: Door) -> Callable[[Callable[_P, Awaitable[_T]]], Callable[_P, Coroutine[Any, Any, _T]]]:
    """Decorate an async function that people call at a door, as `entered`."""

    def decorate(function: Callable[_P, Awaitable[_T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
        @functools.wraps(function)
        async def call(*args: _P.args, **parameters: _P.kwargs) -> _T:
            with entered(door):
                return await function(*args, **parameters)

        return call

    return decorate


def option(field: str, value: object = None) -> str:
    """Name an option, or write it with its value.

    Args:
        field: Its name in the option classes, or the name of an argument of ``produce``.
        value: If the message says which value to give.
    """
    match _door.get():
        case Door.command:
            name = f"--{option_name(field)}"
            return name if value is None or value is True else f"{name} {shlex.quote(str(value))}"
        case Door.prefect:
            given = value if isinstance(value, str) else json.dumps(value)
            return field if value is None else f"{field}={given}"
        case Door.python:
            return _argument(field, value)


def _argument(field: str, value: object) -> str:
    owner = next((options for options in _ARGUMENTS if field in options.model_fields), None)
    if owner is None:
        return field if value is None else f"{field}={value!r}"
    if value is None:
        return f"{field} of {owner.__name__}"
    return f"{_ARGUMENTS[owner]}={owner.__name__}({field}={value!r})"


def option_name(field: str) -> str:
    """Return the option of a field. It drops the unit of a duration, because ``90m`` has its own."""
    return default_name_transform(field if field in _AMOUNTS else field.removesuffix("_seconds"))


def account(field: str) -> str:
    """Name the places where a field of the account can be set."""
    variable, block = _VARIABLES.get(field), f"{field} of the credentials block"
    match _door.get():
        case Door.command:
            places = [variable or _OPTIONS_OF_ACCOUNT.get(field), block]
        case Door.prefect:
            places = [block, variable and f"{variable} on the worker"]
        case Door.python:
            places = [f"{field} of Credentials", variable]
    return " or ".join(filter(None, places))


def archive() -> str:
    """Name the places where the archive can be set."""
    worker = " on the worker" if _door.get() is Door.prefect else ""
    return f"{option('archive')} or {ARCHIVE_VARIABLE}{worker}"


def run(command: str, *words: str) -> str:
    """Return how to run a command, to end a sentence with, or the flow that does the same.

    Args:
        command: One of ``prefect-seedance``.
        words: Its arguments, of which a flow takes the archive and the production.
    """
    flow = _FLOWS.get(command) if _door.get() is Door.prefect else None
    if flow is None:
        return f"run: {shlex.join(['prefect-seedance', command, *words])}"
    names = ("archive", "name")[: 2 if command == "film" else 1]
    given = " and ".join(f"{name}={word}" for name, word in zip(names, words, strict=False))
    return f"run the flow {flow} with {given}"


def decision(name: str, value: str = "") -> str:
    """Write a decision about an unresolved submission, to follow the command or flow that takes it."""
    written = name if _door.get() is Door.prefect else f"--{name}"
    return f"{written} {value}".rstrip()
