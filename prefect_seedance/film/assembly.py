"""Put archived clips together in a file, one after another, whatever is missing."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import BinaryIO, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict

from prefect_seedance.clips.archive import Clip, fetch_video
from prefect_seedance.errors import ArchiveError, IntegrityError
from prefect_seedance.options import JoinStyle
from prefect_seedance.storage.store import Store
from prefect_seedance.video import slate
from prefect_seedance.video.concat import Splice, UnlikeError, index_bytes
from prefect_seedance.video.probe import Segment, VideoFacts
from prefect_seedance.video.transcode import SAMPLE_RATE, Transcoder

_P = ParamSpec("_P")
_T = TypeVar("_T")

_FEWEST_SOUND_SAMPLES = 960
"""Of a packet, as Opus has them; AAC's have 1,024."""

_MOST_FRAMES = 30
"""A second; the API makes 24."""

_A_SLATE = "a slate for a missing clip has to be encoded"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Part(_Value):
    """What plays from one moment of a film on: a clip, or a slate in its stead.

    Attributes:
        number: The clip's place in the production, from 1.
        fingerprint: The clip's identity.
        sha256: Of the clip's video; None if a slate stands for it.
        start_seconds: When it begins in the film.
        duration_seconds: How long it plays there.
        dropped_frames: How many frames at its beginning were left out, because the frame before the cut
            shows the same.
    """

    number: int
    name: str
    fingerprint: str
    sha256: str | None
    start_seconds: float
    duration_seconds: float
    dropped_frames: int = 0

    @property
    def is_slate(self) -> bool:
        """Whether a slate stands for the clip, which is missing."""
        return self.sha256 is None


class Gap(_Value):
    """A clip that the film lacks.

    Attributes:
        number: The clip's place in the production, from 1.
        at_seconds: Where in the film it is missing.
        is_slated: Whether a slate is shown there; otherwise the film goes on with the next clip.
        reason: Why there is no clip.
    """

    number: int
    name: str
    fingerprint: str
    at_seconds: float
    is_slated: bool
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A place in a film.

    Attributes:
        number: From 1.
        seconds: How long the clip was planned to be.
        clip: None if it is missing.
        reason: Why it is.
    """

    number: int
    name: str
    fingerprint: str
    seconds: float
    clip: Clip | None = None
    reason: str | None = None


@dataclass(kw_only=True)
class Cut:
    """A film that is being put together.

    Attributes:
        joiner: What it grows in.
        model: What the clip is like whose format it has.
        reason: Why clips could not be copied.
        scenes: What was found to be there, one after another.
    """

    joiner: Splice | Transcoder
    model: VideoFacts
    has_sound: bool
    reason: str | None
    scenes: list[Scene] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def end_seconds(self) -> float:
        """How long it is by now."""
        return self.parts[-1].start_seconds + self.parts[-1].duration_seconds if self.parts else 0.0

    async def add(self, scene: Scene, file: BinaryIO | None, *, style: JoinStyle) -> None:
        """Take a scene in: its clip, or a slate, or nothing but the note that it is missing."""
        if file and scene.clip:
            try:
                self._note(scene, await _in_thread(self.joiner.add, file), sha256=scene.clip.sha256)
            except IntegrityError as error:
                scene, file = _missing(scene, str(error)), None
        self.scenes.append(scene)
        if file:
            return
        self.gaps.append(
            Gap(
                number=scene.number,
                name=scene.name,
                fingerprint=scene.fingerprint,
                at_seconds=self.end_seconds,
                is_slated=style.gaps == "slate",
                reason=scene.reason,
            )
        )
        if style.gaps == "slate":
            if not isinstance(self.joiner, Transcoder):
                raise UnlikeError(_A_SLATE)
            self._note(scene, await _in_thread(_add_slate, self.joiner, scene), sha256=None)

    def _note(self, scene: Scene, place: Segment, *, sha256: str | None) -> None:
        self.parts.append(
            Part(
                number=scene.number,
                name=scene.name,
                fingerprint=scene.fingerprint,
                sha256=sha256,
                start_seconds=place.start_seconds,
                duration_seconds=place.duration_seconds,
                dropped_frames=place.dropped_frames,
            )
        )


_A_SLATE = "a slate for a missing clip has to be encoded"


def _add_slate(recording: Transcoder, scene: Scene) -> Segment:
    words = f"Clip {scene.number} is missing", scene.name, scene.reason or ""
    return recording.add_still(slate.draw(*words, size=recording.size), seconds=scene.seconds)


async def cut(store: Store, scenes: Sequence[Scene], *, style: JoinStyle, out: BinaryIO) -> Cut:
    """Put the scenes together as they are if that can be done, and otherwise encoded anew.

    Args:
        store: Where the clips are.
        scenes: In order.
        style: How to join them.
        out: An empty file, to be written and sought in.

    Raises:
        ArchiveError: If no clip is there, or the archive cannot be read.
    """
    reason = None if style.must_encode else _difference(scenes, style)
    if not style.must_encode and not reason:
        try:
            return await _joined(store, scenes, style=style, out=out, reason=None, is_exact=False)
        except UnlikeError as error:
            reason = str(error)
            out.seek(0)
            out.truncate()
    return await _joined(store, scenes, style=style, out=out, reason=reason, is_exact=True)


def _difference(scenes: Sequence[Scene], style: JoinStyle) -> str | None:
    """Say why the scenes cannot be joined as they are, as far as it is known without looking at them."""
    if style.gaps == "slate" and any(scene.clip is None for scene in scenes):
        return _A_SLATE
    kinds = {_kind(scene.clip.facts): scene for scene in reversed(scenes) if scene.clip}
    if len(kinds) > 1:
        first, *others = reversed(kinds.items())
        return (
            f"clip {others[0][1].number} is {_said(others[0][0])}, clip {first[1].number} {_said(first[0])}"
        )
    return None


def _kind(facts: VideoFacts) -> tuple[str, int, int, float]:
    return facts.video_codec, facts.width, facts.height, round(facts.frame_rate, 3)


def _said(kind: tuple[str, int, int, float]) -> str:
    codec, width, height, rate = kind
    return f"{codec} of {width}×{height} at {rate:g} frames a second"


async def _joined(
    store: Store,
    scenes: Sequence[Scene],
    *,
    style: JoinStyle,
    out: BinaryIO,
    reason: str | None,
    is_exact: bool,
) -> Cut:
    """Join the scenes in one of the two ways."""
    facts = [scene.clip.facts for scene in scenes if scene.clip]
    has_sound = any(each.audio_codec for each in facts)
    first, model = await _model(store, scenes)
    with ExitStack() as stack:
        stack.enter_context(model)
        room = _room(scenes)
        joiner: Splice | Transcoder
        if is_exact:
            fade = style.crossfade_seconds
            joiner = Transcoder(out, model=model, sound=has_sound, crossfade_seconds=fade, index_bytes=room)
        else:
            joiner = Splice(out, model=model, index_bytes=room)
        stack.enter_context(joiner)
        cut = Cut(joiner=joiner, model=first.facts, has_sound=has_sound, reason=reason)
        async with contextlib.aclosing(_fetched(store, scenes)) as reels:
            async for each, file in reels:
                await cut.add(each, file, style=style)
        await _in_thread(joiner.finish)
    return cut


async def _model(store: Store, scenes: Sequence[Scene]) -> tuple[Clip, BinaryIO]:
    """Find the clip whose format the film takes: of the most common kind the first, if may be with sound."""
    clips = [scene.clip for scene in scenes if scene.clip]
    kinds = Counter(_kind(clip.facts) for clip in clips)
    best = sorted(clips, key=lambda clip: (-kinds[_kind(clip.facts)], clip.facts.audio_codec is None))
    for clip in best:
        with contextlib.suppress(IntegrityError):
            return clip, await fetch_video(store, clip)
    raise ArchiveError("No clip is there to join; make them first")


async def _fetched(
    store: Store, scenes: Sequence[Scene]
) -> AsyncGenerator[tuple[Scene, BinaryIO | None], None]:
    """Yield each scene with its video, while the next is on its way."""

    async def bring(scene: Scene) -> tuple[Scene, BinaryIO | None]:
        try:
            return scene, await fetch_video(store, scene.clip) if scene.clip else None
        except IntegrityError as error:
            return _missing(scene, str(error)), None

    ahead: asyncio.Task[tuple[Scene, BinaryIO | None]] | None = None
    try:
        for following in (*scenes, None):
            present = ahead
            ahead = asyncio.create_task(bring(following)) if following else None
            if present:
                scene, file = await present
                with file or nullcontext():
                    yield scene, file
    finally:
        if ahead:
            ahead.cancel()
            (left,) = await asyncio.gather(ahead, return_exceptions=True)
            if isinstance(left, tuple) and left[1]:
                left[1].close()


def _missing(scene: Scene, reason: str) -> Scene:
    return replace(scene, clip=None, reason=reason)


def _room(scenes: Sequence[Scene]) -> int:
    """Return how much room a film's index needs at most, from what is known of its scenes."""
    frames = packets = 0
    for scene in scenes:
        facts = scene.clip.facts if scene.clip else None
        seconds = max(scene.seconds, facts.duration_seconds if facts else 0)
        frames += max(facts.frames if facts else 0, round(seconds * _MOST_FRAMES))
        rate = max(SAMPLE_RATE, facts.audio_sample_rate or 0 if facts else 0)
        packets += round(seconds * rate / _FEWEST_SOUND_SAMPLES) + 4
    return index_bytes(frames=frames, sound_packets=packets)


async def _in_thread(work: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
    """Work in a thread, and when cancelled wait for it: the files it works with are closed next."""
    task = asyncio.create_task(asyncio.to_thread(work, *args, **options))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
