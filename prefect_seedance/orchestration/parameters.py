"""Turn the parameters of a flow into options."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

_T = TypeVar("_T", bound=BaseModel)


def options_from(parameters: Mapping[str, Any], kind: type[_T]) -> _T:
    """Return the options of a class that a flow has as parameters of the same names, the others by default.

    Args:
        parameters: Of the flow, as its ``locals()`` returns them at its beginning.
        kind: An option class.
    """
    return kind(**{name: value for name, value in parameters.items() if name in kind.model_fields})
