"""Show text of others, which may contain characters that control a terminal or hide other text."""

import logging
import unicodedata
from typing import Any, Final, TypeAlias

MAX_CHARACTERS: Final = 300
"""Length of a line of the API's text: a message of some sentences."""

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode: control and format characters, which include escape sequences and the marks that
change the direction of text; halves of surrogate pairs; separators of lines and paragraphs."""

_JOINERS: Final = frozenset("\u200c\u200d")
"""Format characters without which some scripts and emoji cannot be written."""


Logger: TypeAlias = "logging.LoggerAdapter[logging.Logger]"


def escape(text: str, *, keep: str = "") -> str:
    r"""Return text whose hidden characters are escaped as in JSON, ``\u001b``, so that JSON stays valid.

    Args:
        text: Any text.
        keep: Hidden characters that stay, such as a line feed.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(each) if _is_hidden(each) and each not in keep else each for each in text)


def one_line(text: str, *, limit: int = MAX_CHARACTERS) -> str:
    """Return text as one line without hidden characters.

    Args:
        text: Any text.
        limit: The most characters; a longer line ends with an ellipsis.
    """
    line = escape(" ".join(text[: 2 * limit].split()))
    return line if len(line) <= limit and len(text) <= 2 * limit else f"{line[: limit - 1]}…"


def get_logger(name: str) -> Logger:
    """Return a logger whose messages are one line, whatever names and answers they contain."""
    return _LineLogger(logging.getLogger(name), {})


class _LineLogger(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:  # noqa: ANN401 -- logging's own
        options["stacklevel"] = options.get("stacklevel", 1) + 1
        super().log(level, msg, *map(_shown, args), **options)


def _shown(value: object) -> object:
    return value if isinstance(value, int | float) else escape(str(value))


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2]):04x}" for at in range(0, len(units), 2))
