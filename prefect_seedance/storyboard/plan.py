"""Number the clips of a production, each with the fingerprint of what it asks for."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.storyboard.schema import ClipRequest

_NAME_CHARACTERS: Final = 80
"""How long a production's name may be: it is part of object keys and of Prefect's artifact keys."""


class PlannedClip(ClipRequest):
    """A clip with its place in the production and its identity."""

    number: int = Field(ge=1, description="Its place in the production, from 1.")
    fingerprint: str = Field(description="Its identity: equal fingerprints are one clip, paid for once.")

    @classmethod
    def of(cls, request: ClipRequest, *, number: int, model: str) -> Self:
        """Give a request its number and fingerprint."""
        return cls(**dict(request), number=number, fingerprint=fingerprint(request, model=model))


class Plan(BaseModel):
    """What a production consists of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="The production's name in keys: lower-case letters, digits and dashes.")
    title: str = Field(description="The production's name for people.")
    model: str = Field(description="The id of the model that makes the clips.")
    clips: tuple[PlannedClip, ...] = Field(description="The clips in order.")

    @property
    def distinct(self) -> tuple[PlannedClip, ...]:
        """The first clip of each fingerprint: what is bought at most."""
        firsts: dict[str, PlannedClip] = {}
        for clip in self.clips:
            firsts.setdefault(clip.fingerprint, clip)
        return tuple(firsts.values())

    @property
    def billed_seconds(self) -> int:
        """Seconds of video that are billed if no clip exists yet."""
        return sum(clip.settings.duration for clip in self.distinct)


def plan(requests: Iterable[ClipRequest], *, title: str, name: str = "", model: str = DEFAULT_MODEL) -> Plan:
    """Plan a production, without asking what of it exists already.

    Args:
        requests: Its clips in order.
        title: What people call it.
        name: What to make its name in keys from; the title if empty.
        model: The id of the model that shall make the clips.
    """
    clips = (
        PlannedClip.of(request, number=number, model=model) for number, request in enumerate(requests, 1)
    )
    return Plan(name=key_name(name or title), title=title or name, model=model, clips=tuple(clips))


def fingerprint(request: ClipRequest, *, model: str) -> str:
    """Digest all that decides a clip's picture and sound: model, input, the images' content, take.

    A change of what is digested buys every clip again. So every setting is said, whether or not it is
    the default of the day, and what is None is left out: a field that is added later as optional changes
    no fingerprint.
    """
    asked = request.input(image.identity for image in request.images).model_dump(
        mode="json", exclude_none=True
    )
    canonical = json.dumps(
        {"model": model, "input": asked, "take": request.take},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def key_name(text: str) -> str:
    """Make a name that is safe in object keys and artifact keys: ``Été à Nice!`` is ``ete-a-nice``.

    Letters without a Latin base are left out; then, and if the text is too long, a short digest keeps
    different titles apart.
    """
    letters = "".join(
        sign for sign in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(sign)
    )
    name = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    lost = any(sign.isalnum() and not sign.isascii() for sign in letters) or len(name) > _NAME_CHARACTERS
    if not lost and name:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{name[: _NAME_CHARACTERS - len(digest) - 1].strip('-')}-{digest}".removeprefix("-")
