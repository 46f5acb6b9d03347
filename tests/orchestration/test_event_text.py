"""Texts for events."""

import pytest

from prefect_seedance.orchestration.event_text import shown_message, shown_name
from prefect_seedance.storyboard.clip_names import clip_name

LONG = "A lighthouse in a storm at night, seen from a small boat that climbs the waves, cinematic"
FINGERPRINT = "0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "prompt", "shown"),
    [
        ("dawn → noon", "waves break", "dawn → noon"),
        ("sea", "sea birds rise", "sea"),
        ("waves break", "waves break", "clip 0123456789ab"),
        ("waves break (2)", "waves\n break", "clip 0123456789ab"),
        (clip_name(LONG, stems=()), LONG, "clip 0123456789ab"),
        ("be\nll", "", "be ll"),
    ],
    ids=["images", "own", "prompt", "numbered", "shortened", "no-prompt"],
)
def test_prompt_is_no_name(name: str, prompt: str, shown: str) -> None:
    """A clip that is named after its prompt is shown by its fingerprint."""
    assert shown_name(name, prompt=prompt, fingerprint=FINGERPRINT) == shown


def test_message_has_no_signature() -> None:
    """User, query and fragment of a URL are removed, wherever it is in the message."""
    text = (
        "no link works: https://me:pw@files.example/1.mp4?X-Signature=s3cret (1 tried), see s3://b/k?t=s3cret"
    )

    assert shown_message(text) == "no link works: https://files.example/1.mp4 (1 tried), see s3://b/k"


def test_message_has_no_prompt() -> None:
    """Neither the name that is a prompt, nor a prompt that the API quotes, is part of a message."""
    name = clip_name(LONG, stems=())

    shown = shown_message(f"{name}: refused: {LONG!r}", name=name, prompt=LONG, fingerprint=FINGERPRINT)

    assert shown == "clip 0123456789ab: refused: '…'"


def test_short_prompt_cuts_no_word() -> None:
    """A prompt of one word is not removed from within other words."""
    assert shown_message("research of sea", prompt="sea") == "research of …"


def test_message_is_short() -> None:
    """A message is one line of at most 300 characters."""
    shown = shown_message("too\nlong " * 100)

    assert len(shown) == 300
    assert "\n" not in shown
