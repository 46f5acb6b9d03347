"""Read the generation's id in a callback, however a gateway has wrapped its body."""

import json
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Final
from urllib.parse import parse_qsl

from prefect_seedance.api.decoding import DecodingError, decoded
from prefect_seedance.api.wire import is_generation_id

MAX_BODY_BYTES: Final = 64 * 1024
"""A callback is an envelope of some hundred bytes."""

_IDS: Final = ("taskId", "task_id")
_MAX_DEPTH: Final = 6
"""The documented body has two levels; a gateway may wrap it, also as text."""


def find_generation_id(body: bytes, *, content_type: str = "", content_encoding: str = "") -> str | None:
    """Return the id in a callback's body, the only part of it that is ever used; None if there is none.

    Args:
        body: As it arrived: perhaps compressed, in any charset, as JSON or as a form.
        content_type: The header, of which only the charset counts.
        content_encoding: The header.
    """
    content = bytearray()
    try:
        for piece in decoded(iter([body]), encoding=content_encoding):
            content += piece
            if len(content) > MAX_BODY_BYTES:
                return None
    except DecodingError:
        return None
    found = (_find(value, depth=0) for value in _values(bytes(content), content_type))
    return next(filter(None, found), None)


def _values(content: bytes, content_type: str) -> Iterator[object]:
    """Yield what the content may be: JSON, or a form with the id or with JSON in it."""
    text = _text(content, content_type)
    yield text
    form = parse_qsl(text, keep_blank_values=True, max_num_fields=None)
    yield dict(form)
    yield [part for field in form for part in field]


def _text(content: bytes, content_type: str) -> str:
    """Decode text by its first bytes, or else by the charset of its type."""
    header = Message()
    header["Content-Type"] = content_type
    for charset in (json.detect_encoding(content), header.get_content_charset("utf-8")):
        try:
            return content.decode(charset).lstrip("\ufeff")
        except (LookupError, UnicodeError):
            continue
    return content.decode("latin-1")


def _find(value: object, *, depth: int) -> str | None:
    """Return the first id in a value, whose texts may be JSON."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, str):
        try:
            return _find(json.loads(value), depth=depth + 1)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, Mapping):
        own = next((value[key] for key in _IDS if is_generation_id(value.get(key))), None)
        return str(own) if own else _find([*value.values()], depth=depth)
    nested = value if isinstance(value, list) else ()
    found = (_find(each, depth=depth + 1) for each in nested)
    return next(filter(None, found), None)
