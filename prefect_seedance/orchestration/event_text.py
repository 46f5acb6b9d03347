"""Texts for events, without prompts and signatures."""

import re

from prefect_seedance.api.urls import shown_url
from prefect_seedance.printable import one_line
from prefect_seedance.storyboard.clip_names import as_line

_URL = re.compile(r"\w+://[^\s'\"<>]+")
_NUMBER = re.compile(r" \(\d+\)$")
"""What `unique` appends to a name that is already used."""

_DIGITS = 12
"""Of a fingerprint, as commands accept it."""


def shown_name(name: str, *, prompt: str | None, fingerprint: str) -> str:
    """Return the name of a clip in one line, or the beginning of its fingerprint if its prompt may name it.

    Args:
        name: Of the clip.
        prompt: None if it is not known.
        fingerprint: Of the clip.
    """
    may_be_prompt = prompt is None or _is_prompt(name, prompt)
    return f"clip {fingerprint[:_DIGITS]}" if may_be_prompt else one_line(name)


def shown_message(text: str, *, name: str = "", prompt: str = "", fingerprint: str = "") -> str:
    """Return a message in one short line, without its clip's prompt and the signatures of URLs."""
    if _is_prompt(name, prompt):
        text = text.replace(name, shown_name(name, prompt=prompt, fingerprint=fingerprint))
    if prompt:
        text = re.sub(rf"(?<!\w){re.escape(prompt)}(?!\w)", "…", text)
    return one_line(_URL.sub(lambda url: shown_url(url[0]), text))


def _is_prompt(name: str, prompt: str) -> bool:
    """Return whether a clip without a name of its own has the beginning of its prompt as its name."""
    stem, line = _NUMBER.sub("", name), as_line(prompt)
    return bool(line) and (stem == line or (stem.endswith("…") and line.startswith(stem[:-1])))
