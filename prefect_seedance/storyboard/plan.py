"""Number and fingerprint the clips of a production."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import is_unicode
from prefect_seedance.doors import option
from prefect_seedance.errors import SetupError
from prefect_seedance.storyboard.schema import ClipRequest

_MAX_NAME_LENGTH: Final = 80
"""The most characters of a production's name, which is part of object keys and Prefect's artifact keys."""


class PlannedClip(ClipRequest):
    """A clip with its number in the production and its fingerprint."""

    number: int = Field(ge=1, description="Position in the production, from 1.")
    fingerprint: str = Field(
        description="Identity of the clip: clips with equal fingerprints are generated once."
    )

    @classmethod
    def from_request(cls, request: ClipRequest, *, number: int, model: str) -> Self:
        """Add a number and the fingerprint to a request."""
        chosen = {**dict(request), "model": request.model or model}
        return cls(**chosen, number=number, fingerprint=fingerprint(request, model=model))


class Plan(BaseModel):
    """The clips of a production."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name in keys: lower-case letters, digits and dashes.")
    title: str = Field(description="Name for display.")
    model: str = Field(description="Id of the account's model, for clips that choose none.")
    clips: tuple[PlannedClip, ...] = Field(description="The clips in order.")

    @property
    def distinct(self) -> tuple[PlannedClip, ...]:
        """The first clip of each fingerprint, which is the most that a run submits."""
        firsts: dict[str, PlannedClip] = {}
        for clip in self.clips:
            firsts.setdefault(clip.fingerprint, clip)
        return tuple(firsts.values())

    @property
    def models(self) -> str:
        """The ids of the models that make the clips, as a list in words."""
        return ", ".join(dict.fromkeys(clip.model or self.model for clip in self.clips)) or self.model

    @property
    def billed_seconds(self) -> int:
        """Seconds of video that are billed if none of the clips is archived yet."""
        return sum(clip.settings.duration for clip in self.distinct)


def plan(requests: Iterable[ClipRequest], *, title: str, name: str = "", model: str = DEFAULT_MODEL) -> Plan:
    """Plan a production, without checking which of its clips are archived.

    Args:
        requests: The clips in order.
        title: The production's name for display.
        name: Text to derive the name in keys from. Default: the title.
        model: Id of the model of clips that choose none.

    Raises:
        SetupError: The name cannot be recorded.
    """
    if not is_unicode(title + name):
        raise SetupError(
            f"The production's name {name or title!a} is not valid UTF-8; give another {option('name')}"
        )
    clips = (
        PlannedClip.from_request(request, number=number, model=model)
        for number, request in enumerate(requests, 1)
    )
    return Plan(name=key_name(name or title), title=title or name, model=model, clips=tuple(clips))


def fingerprint(request: ClipRequest, *, model: str) -> str:
    """Return a digest of everything that decides a clip: model, input, content of the files, take.

    A change in the digested data buys every clip again. Therefore every setting is included, even if it
    equals the current default, and None is left out: a later optional field changes no fingerprint.
    """
    return fingerprint_of(request, (file.identity for file in request.sources), model=model)


def fingerprint_of(request: ClipRequest, identities: Iterable[str], *, model: str) -> str:
    """Return the fingerprint of a clip whose files have these identities."""
    model = request.model or model
    clip_input = request.input(identities, model=model)
    canonical = json.dumps(
        {
            "model": model,
            "input": clip_input.model_dump(mode="json", exclude_none=True),
            "take": request.take,
        },
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def key_name(text: str) -> str:
    """Derive a name that is safe in object keys and artifact keys: ``Été à Nice!`` is ``ete-a-nice``.

    Letters without a Latin base are dropped. If letters are dropped or the text is too long, a short digest
    is appended so that different titles get different names.
    """
    letters = "".join(
        character
        for character in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(character)
    )
    name = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    has_dropped = any(character.isalnum() and not character.isascii() for character in letters)
    if name and not has_dropped and len(name) <= _MAX_NAME_LENGTH:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{name[: _MAX_NAME_LENGTH - len(digest) - 1].strip('-')}-{digest}".removeprefix("-")
