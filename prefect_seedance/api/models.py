"""The models that can be used: the gateway's, and those of files that users name."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from prefect_seedance.api.capabilities import Capabilities, ModelFileError, parse_models
from prefect_seedance.doors import MODELS_VARIABLE, account
from prefect_seedance.errors import SetupError
from prefect_seedance.printable import get_logger

DEFAULT_MODEL = "seedance-1-5-pro"

_log = get_logger(__name__)

_MAX_FILE_BYTES: Final = 1_000_000
"""An entry has about a kilobyte."""

CAPABILITIES: Mapping[str, Capabilities] = parse_models(
    Path(__file__).with_name("models.yaml").read_text(encoding="utf-8"), known={}
)
"""The models that this version knows, by id."""

_files: list[str] = []
"""The files that credentials name, in this process."""


_loaded: dict[str, Mapping[str, Capabilities]] = {}
"""The models of each file when it was last valid, in this process."""

_logged: dict[str, set[str]] = {}
"""Why each file cannot be used, as logged since it was last valid."""


def known_models() -> Mapping[str, Capabilities]:
    """Return every model that can be used, by id.

    Raises:
        SetupError: If the file that SEEDANCE_MODELS or the credentials name cannot be read, or is invalid.
    """
    known = dict(CAPABILITIES)
    for file in dict.fromkeys((os.environ.get(MODELS_VARIABLE, ""), *_files)):
        if file:
            known |= _load(file)
    return known


def use_models(file: str) -> None:
    """Add the models of a file, for the whole process.

    Raises:
        SetupError: If it cannot be read, or is invalid.
    """
    if file and file not in _files:
        _load(file)
        _files.append(file)


def capabilities(model: str) -> Capabilities | None:
    """Return what a model accepts; None if it is unknown.

    Raises:
        SetupError: As `known_models` does.
    """
    return known_models().get(model)


def unknown_model(model: str) -> str:
    """Return why a model cannot be used, with the remedy."""
    known = known_models()
    close = get_close_matches(model.lower(), known, n=1, cutoff=0.9)
    meant = f"did you mean {close[0]!r}? Known" if close else "known"
    return f"unknown model {model!r}; {meant}: {', '.join(known)}"


def _load(file: str) -> Mapping[str, Capabilities]:
    """Read a file of models, once for each version; if it became unusable, use its last valid one."""
    try:
        _loaded[file] = _read(Path(file).expanduser())
    except (OSError, RuntimeError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        if file not in _loaded:
            raise SetupError(
                f"The file of models {file} cannot be used: {reason}. Correct it, or its name in "
                f"{account('models')}"
            ) from None
        # An editor may be saving the file, and a run must continue.
        if reason not in (logged := _logged.setdefault(file, set())):
            logged.add(reason)
            _log.warning("%s cannot be used: %s; its last valid version is used", file, reason)
    else:
        _logged.pop(file, None)
    return _loaded[file]


def _read(path: Path) -> Mapping[str, Capabilities]:
    found = path.stat()
    if not path.is_file() or found.st_size > _MAX_FILE_BYTES:
        raise ModelFileError(f"it is not a file of at most {_MAX_FILE_BYTES:,} bytes")
    return _parse(path, (found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=16)
def _parse(path: Path, _version: tuple[int, int]) -> Mapping[str, Capabilities]:
    return parse_models(path.read_text(encoding="utf-8"), known=CAPABILITIES)


def in_forms(field: str) -> Callable[[dict[str, Any]], None]:
    """Return a hook that adds to a schema what any of the known models offers, when a form is made.

    A flow or block makes its form when it is imported. So an invalid file of models is no error here; a run
    reports it.
    """

    def complete(schema: dict[str, Any]) -> None:
        try:
            known = known_models()
        except SetupError:
            known = CAPABILITIES
        values = dict.fromkeys(value for each in known.values() for value in getattr(each, field))
        schema["enum"] = sorted(values) if field == "durations_seconds" else list(values)

    return complete


def check_mode(mode: str) -> None:
    """Check that any of the known models has a mode.

    Raises:
        ValueError: If none has.
    """
    modes = dict.fromkeys(mode for each in known_models().values() for mode in each.modes)
    if mode not in modes:
        raise ValueError(f"unknown mode {mode!r}; known: {', '.join(modes)}")


def facts_of(model: str) -> Capabilities:
    """Return the facts of a recorded model; for one that only a newer version knows, the default's."""
    return capabilities(model) or CAPABILITIES[DEFAULT_MODEL]


def generation_seconds(model: str, duration: int) -> tuple[float, float]:
    """Return the shortest and longest usual time of a generation.

    Where that is not documented: of the default model.
    """
    known = facts_of(model).generation_seconds or CAPABILITIES[DEFAULT_MODEL].generation_seconds
    shortest, longest = zip(*known.values(), strict=True)
    return known.get(duration, (min(shortest), max(longest)))


def result_lifetime(model: str) -> timedelta:
    """Return how long the API serves a video; for a model that only a newer version knows, the default's."""
    return facts_of(model).result_lifetime
