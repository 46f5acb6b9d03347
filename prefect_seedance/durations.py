"""Durations of options, in seconds or as text such as ``90m`` or ``2h``."""

import re
from typing import Annotated, Final

from cyclopts import Parameter
from pydantic import BeforeValidator, Field

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")


def _seconds(value: object) -> object:
    """Read ``90``, ``90s``, ``90m`` or ``2h`` as seconds; leave anything but text to pydantic."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if not match:
        raise ValueError("write seconds, or a duration such as 90m or 2h")
    return float(match[1]) * _UNITS[match[2]]


FROM_TEXT: Final = BeforeValidator(_seconds)
"""Converts text such as ``90m`` or ``2h``. Bounds come before it, or pydantic omits them in the schema."""

SHOWN_AS_TIME: Final = Parameter(metavar="TIME")
"""The name of the value on help pages."""

Seconds = Annotated[float, Field(gt=0), FROM_TEXT, SHOWN_AS_TIME]
"""A positive number of seconds."""
