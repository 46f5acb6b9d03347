"""Find the URLs of a paid video in a result, also if their format differs from the documented one."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from prefect_seedance.api.urls import parse_url

_LIST: Final = "resultUrls"
"""The documented key of the list of URLs."""

_MAX_ENCODINGS: Final = 3
_MAX_DEPTH: Final = 8
"""The documented result has two levels."""

_SCHEME: Final = re.compile(r"(https?):/*|//", re.IGNORECASE)
"""The beginning of a URL; without a scheme, it is https."""

_BETWEEN: Final = re.compile(r"[\s,;]+(?=https?://)", re.IGNORECASE)
"""Separates URLs that are listed in one text; inside a URL, blanks and quotes are encoded."""

_AROUND: Final = "".join(map(chr, range(0x21))) + "\u00a0\u200b\u2028\u2029\u3000\ufeff\"'<>"
"""Blanks, control characters and quotes around a URL, which belong to the text that contains it."""

_DROPPED: Final = str.maketrans("", "", "\t\r\n")
"""Browsers drop these inside a URL. Source: https://url.spec.whatwg.org/#concept-basic-url-parser, read
2026-11."""


def result_urls(result: object) -> tuple[str, ...]:
    """Return the http(s) URLs in a result, those of its list first.

    The generation is paid for, so any URL may serve the video; each is verified after its download.

    Args:
        result: JSON as text or parsed. Anything else contains no URL.
    """
    parsed = _parsed(result)
    listed = parsed.get(_LIST) if isinstance(parsed, Mapping) else None
    found = [*_urls(listed, depth=0)] or [*_urls(parsed, depth=0)]
    return tuple(dict.fromkeys(found))


def _parsed(value: object) -> object:
    """Parse JSON text, also if it is encoded several times; return any other value unchanged."""
    for _ in range(_MAX_ENCODINGS):
        try:
            value = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            break
    return value


def _urls(value: object, *, depth: int) -> Iterator[str]:
    """Yield the URLs in a text, a list or an object, whose nested texts may be JSON."""
    parsed = _parsed(value)
    if depth >= _MAX_DEPTH:
        return
    if isinstance(parsed, str):
        yield from filter(None, map(_url, _BETWEEN.split(parsed)))
    elif isinstance(parsed, list):
        for each in parsed:
            yield from _urls(each, depth=depth + 1)
    elif isinstance(parsed, Mapping):
        for key in sorted(parsed, key=_rank):
            yield from _urls(parsed[key], depth=depth + 1)


def _rank(key: str) -> int:
    """Return the order in which an object's values are read: others may be those of a cover."""
    return 0 if key.lower() == "url" else 1 if "video" in key.lower() else 2


def _url(text: str) -> str | None:
    """Return a text as a URL with its scheme in lower case, or None if it is none."""
    url = text.strip(_AROUND).translate(_DROPPED)
    scheme = _SCHEME.match(url)
    if scheme is None or not url.isprintable():
        return None
    whole = f"{(scheme[1] or 'https').lower()}://{url[scheme.end() :]}"
    return whole if parse_url(whole) else None
