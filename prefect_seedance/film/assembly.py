"""Join archived clips in a file: choose how, and fill gaps."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import BinaryIO, ParamSpec, TypeVar

from prefect_seedance.clips.archive import Clip, fetch_video
from prefect_seedance.errors import ArchiveError, IntegrityError
from prefect_seedance.film.scenes import Gap, Part, Scene
from prefect_seedance.options import JoinStyle
from prefect_seedance.storage.store import Store
from prefect_seedance.video.concat import Concatenation, FormatMismatchError, index_bytes
from prefect_seedance.video.facts import VideoFacts
from prefect_seedance.video.probe import Segment
from prefect_seedance.video.slate import draw_slate
from prefect_seedance.video.transcode import Transcoder
from prefect_seedance.video.transcode_sound import SAMPLE_RATE

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MIN_PACKET_SAMPLES = 960
"""Samples of the shortest packet, of Opus; AAC's have 1,024."""

_MAX_FRAME_RATE = 30
"""Frames a second; the API makes 24."""

_SLATE_REASON = "a slate for a missing clip has to be encoded"


@dataclass(kw_only=True)
class Assembly:
    """A film in the making.

    Attributes:
        joiner: Writes the film.
        model: Facts of the clip whose format the film has.
        reason: Why clips could not be copied.
        scenes: As they were found in the archive.
    """

    joiner: Concatenation | Transcoder
    model: VideoFacts
    has_sound: bool
    reason: str | None
    scenes: list[Scene] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def end_seconds(self) -> float:
        """The current end of the film."""
        return self.parts[-1].start_seconds + self.parts[-1].duration_seconds if self.parts else 0.0

    async def add(self, scene: Scene, file: BinaryIO | None, *, style: JoinStyle) -> None:
        """Add the scene's clip; if it is missing, a slate or only a gap."""
        if file and scene.clip:
            try:
                self._add_part(scene, await _in_thread(self.joiner.add, file), sha256=scene.clip.sha256)
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
                raise FormatMismatchError(_SLATE_REASON)
            self._add_part(scene, await _in_thread(_add_slate, self.joiner, scene), sha256=None)

    def _add_part(self, scene: Scene, segment: Segment, *, sha256: str | None) -> None:
        self.parts.append(
            Part(
                number=scene.number,
                name=scene.name,
                fingerprint=scene.fingerprint,
                sha256=sha256,
                start_seconds=segment.start_seconds,
                duration_seconds=segment.duration_seconds,
                dropped_frames=segment.dropped_frames,
            )
        )


def _add_slate(joiner: Transcoder, scene: Scene) -> Segment:
    text = f"Clip {scene.number} is missing", scene.name, scene.reason or ""
    return joiner.add_still(draw_slate(*text, size=joiner.size), seconds=scene.seconds)


async def assemble(store: Store, scenes: Sequence[Scene], *, style: JoinStyle, out: BinaryIO) -> Assembly:
    """Join the scenes: copy them if they have one format, and re-encode them otherwise.

    Args:
        store: Of the archive.
        scenes: In order.
        style: How to join them.
        out: An empty, writable and seekable file.

    Raises:
        ArchiveError: If there is no clip, or the archive cannot be read.
    """
    reason = None if style.must_encode else _difference(scenes, style)
    if not style.must_encode and not reason:
        try:
            return await _join(store, scenes, style=style, out=out, reason=None, is_exact=False)
        except FormatMismatchError as error:
            reason = str(error)
            out.seek(0)
            out.truncate()
    return await _join(store, scenes, style=style, out=out, reason=reason, is_exact=True)


def _difference(scenes: Sequence[Scene], style: JoinStyle) -> str | None:
    """Return why the scenes cannot be copied, as far as their records show."""
    if style.gaps == "slate" and any(scene.clip is None for scene in scenes):
        return _SLATE_REASON
    kinds = {_kind(scene.clip.facts): scene for scene in reversed(scenes) if scene.clip}
    if len(kinds) > 1:
        first, *others = reversed(kinds.items())
        (kind, scene), (other_kind, other) = first, others[0]
        return f"clip {other.number} is {_describe(other_kind)}, but clip {scene.number} is {_describe(kind)}"
    return None


def _kind(facts: VideoFacts) -> tuple[str, int, int, float]:
    return facts.video_codec, facts.width, facts.height, round(facts.frame_rate, 3)


def _describe(kind: tuple[str, int, int, float]) -> str:
    codec, width, height, rate = kind
    return f"{codec} of {width}×{height} at {rate:g} frames a second"


async def _join(
    store: Store,
    scenes: Sequence[Scene],
    *,
    style: JoinStyle,
    out: BinaryIO,
    reason: str | None,
    is_exact: bool,
) -> Assembly:
    """Join the scenes, by copying or by re-encoding."""
    facts = [scene.clip.facts for scene in scenes if scene.clip]
    has_sound = any(each.audio_codec for each in facts)
    first, model = await _model(store, scenes)
    with ExitStack() as stack:
        stack.enter_context(model)
        space = _index_space(scenes)
        joiner: Concatenation | Transcoder
        if is_exact:
            fade = style.crossfade_seconds
            joiner = Transcoder(out, model=model, sound=has_sound, crossfade_seconds=fade, index_bytes=space)
        else:
            joiner = Concatenation(out, model=model, index_bytes=space)
        stack.enter_context(joiner)
        assembly = Assembly(joiner=joiner, model=first.facts, has_sound=has_sound, reason=reason)
        async with contextlib.aclosing(_fetched(store, scenes)) as videos:
            async for each, file in videos:
                await assembly.add(each, file, style=style)
        await _in_thread(joiner.finish)
    return assembly


async def _model(store: Store, scenes: Sequence[Scene]) -> tuple[Clip, BinaryIO]:
    """Return the clip whose format the film has: the first of the most common one, with sound if possible."""
    clips = [scene.clip for scene in scenes if scene.clip]
    kinds = Counter(_kind(clip.facts) for clip in clips)
    best = sorted(clips, key=lambda clip: (-kinds[_kind(clip.facts)], clip.facts.audio_codec is None))
    for clip in best:
        with contextlib.suppress(IntegrityError):
            return clip, await fetch_video(store, clip)
    raise ArchiveError("There is no clip to join; run produce first")


async def _fetched(
    store: Store, scenes: Sequence[Scene]
) -> AsyncGenerator[tuple[Scene, BinaryIO | None], None]:
    """Yield each scene with its video, and fetch the next meanwhile."""

    async def fetch(scene: Scene) -> tuple[Scene, BinaryIO | None]:
        try:
            return scene, await fetch_video(store, scene.clip) if scene.clip else None
        except IntegrityError as error:
            return _missing(scene, str(error)), None

    ahead: asyncio.Task[tuple[Scene, BinaryIO | None]] | None = None
    try:
        for following in (*scenes, None):
            current = ahead
            ahead = asyncio.create_task(fetch(following)) if following else None
            if current:
                scene, file = await current
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


def _index_space(scenes: Sequence[Scene]) -> int:
    """Return the maximum size of the film's index."""
    frames = packets = 0
    for scene in scenes:
        facts = scene.clip.facts if scene.clip else None
        seconds = max(scene.seconds, facts.duration_seconds if facts else 0)
        frames += max(facts.frames if facts else 0, round(seconds * _MAX_FRAME_RATE))
        rate = max(SAMPLE_RATE, facts.audio_sample_rate or 0 if facts else 0)
        packets += round(seconds * rate / _MIN_PACKET_SAMPLES) + 4
    return index_bytes(frames=frames, sound_packets=packets)


async def _in_thread(work: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T:
    """Run in a thread. If cancelled, wait for the thread, because its files are closed next."""
    task = asyncio.create_task(asyncio.to_thread(work, *args, **options))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
