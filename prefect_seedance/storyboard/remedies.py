"""Say what to write instead of a value of the wrong type."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("true", "yes", "y", "on", "1", "ja", "oui"), "true"),
    **dict.fromkeys(("false", "no", "n", "off", "0", "nein", "non", "none", "silent"), "false"),
}
"""Words by which people mean a truth value."""

_EMPTY: Final[Mapping[str, str]] = {
    "prompt": "say what happens, or remove the line",
    "image": "name an image file or an https URL",
    "title": "write a title, or remove the line",
}
"""By field: the remedy if nothing is written."""


def remedy(error_type: str, *, field: str, value: object) -> str | None:
    """Return what to write instead of a value; None if that is unknown.

    Args:
        error_type: Pydantic's.
        field: The field's name, or that of the list which the value is an entry of.
        value: As it was written.
    """
    known = _REMEDIES.get(error_type)
    return known(field, value) if known else None


def _number(_: str, value: object) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    numbers = re.findall(r"\d+", unicodedata.normalize("NFKC", value)) if isinstance(value, str) else []
    if len(numbers) == 1:
        return f"write {int(numbers[0])} without quotes"
    return "write a number, such as 8"


def _truth(_: str, value: object) -> str | None:
    word = _WORDS.get(str(value).strip().lower())
    return f"write {word} without quotes" if word else None


def _text(field: str, value: object) -> str | None:
    if value is None:
        return _EMPTY.get(field, "write a text, or remove the line")
    if isinstance(value, list | tuple):
        return (
            f"write '{field}: {value[0]}'"
            if len(value) == 1 and isinstance(value[0], str)
            else "write one text"
        )
    if field == "resolution" and isinstance(value, int):
        return f"write {value}p"
    return None if isinstance(value, int | float) else "put the text in quotes"


def _list(field: str, value: object) -> str | None:
    if field == "images" and isinstance(value, str):
        return f"write 'images: [{value}]'"
    return None


def _fields(field: str, value: object) -> str | None:
    if not field:
        return (
            "write 'shots:' before its first line"
            if isinstance(value, list | tuple)
            else "a storyboard begins with 'shots:'"
        )
    if not isinstance(value, str):
        return None
    return {"shots": f"write '- image: {value}'", "clips": f"write '- prompt: {value}'"}.get(field)


_REMEDIES: Final[Mapping[str, Callable[[str, object], str | None]]] = {
    "int_type": _number,
    "bool_type": _truth,
    "string_type": _text,
    "tuple_type": _list,
    "model_type": _fields,
}
