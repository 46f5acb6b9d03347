"""Assembling clips: copied or re-encoded, with gaps for missing ones."""

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pytest

from prefect_seedance.errors import ArchiveError
from prefect_seedance.film.assembly import Assembly, assemble
from prefect_seedance.film.scenes import Part, Scene
from prefect_seedance.options import JoinStyle
from prefect_seedance.storage.store import Store
from prefect_seedance.video.concat import Concatenation
from prefect_seedance.video.transcode import Transcoder
from tests import films
from tests.film.conftest import ArchiveScenes
from tests.films import Mark


class _Result(NamedTuple):
    assembly: Assembly
    marks: list[Mark]

    @property
    def order(self) -> list[int]:
        """The clip of every 24th frame."""
        return [mark.clip for mark in self.marks[::24]]

    @property
    def joiner(self) -> type:
        return type(self.assembly.joiner)


async def _assemble(store: Store, scenes: Sequence[Scene], **style: object) -> _Result:
    out = io.BytesIO()
    assembly = await assemble(store, scenes, style=JoinStyle.model_validate(style), out=out)
    return _Result(assembly, films.seen(out.getvalue()).marks)


async def test_clips_are_copied_in_order(store: Store, scenes: list[Scene]) -> None:
    """Clips of one format are copied, and each part has its position."""
    result = await _assemble(store, scenes)

    assert result.joiner is Concatenation
    assert result.marks == [Mark(clip, frame) for clip in (1, 2, 3) for frame in range(24)]
    assert result.assembly.end_seconds == pytest.approx(3.0)
    assert result.assembly.parts[1] == Part(
        number=2,
        name="scene 2",
        fingerprint=scenes[1].fingerprint,
        sha256=scenes[1].clip and scenes[1].clip.sha256,
        start_seconds=1.0,
        duration_seconds=1.0,
    )
    assert (result.assembly.reason, result.assembly.gaps) == (None, [])


async def test_repeated_clip(store: Store, archive_scenes: ArchiveScenes, clips: Sequence[bytes]) -> None:
    """A clip that occurs twice in the storyboard occurs twice in the film."""
    result = await _assemble(store, await archive_scenes([clips[0], clips[1], clips[0]]))

    assert result.order == [1, 2, 1]


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_gap_is_skipped(
    store: Store, scenes: list[Scene], without_clip: Callable[[Scene], Scene], index: int
) -> None:
    """A missing clip is skipped, and recorded as a gap with its position and reason."""
    scenes[index] = without_clip(scenes[index])

    result = await _assemble(store, scenes)

    assert result.order == [number for number in (1, 2, 3) if number != index + 1]
    (gap,) = result.assembly.gaps
    assert (gap.number, gap.is_slated, gap.reason) == (index + 1, False, "the prompt was rejected")
    assert gap.at_seconds == pytest.approx(index)
    assert result.joiner is Concatenation


async def test_gap_is_slated(
    store: Store, scenes: list[Scene], without_clip: Callable[[Scene], Scene]
) -> None:
    """A slate is shown for the planned duration of a missing clip, which requires re-encoding."""
    scenes[1] = replace(without_clip(scenes[1]), seconds=2)

    result = await _assemble(store, scenes, gaps="slate")

    assert len(result.marks) == 96
    assert (result.marks[0], result.marks[72]) == (Mark(1, 0), Mark(3, 0))
    parts = result.assembly.parts
    assert [(part.number, part.is_slate) for part in parts] == [(1, False), (2, True), (3, False)]
    assert [part.start_seconds for part in parts] == pytest.approx([0.0, 1.0, 3.0])
    assert result.assembly.gaps[0].is_slated
    assert result.joiner is Transcoder
    assert result.assembly.reason == "a slate for a missing clip has to be encoded"


@pytest.mark.parametrize("gaps", ["skip", "slate"])
@pytest.mark.parametrize(
    ("damage", "reason"), [("changed", "has changed since it was archived"), ("deleted", "is missing")]
)
async def test_damaged_clip_is_gap(
    store: Store, scenes: list[Scene], clips: Sequence[bytes], damage: str, reason: str, gaps: str
) -> None:
    """A clip whose file is deleted, or differs from its record, is a gap."""
    clip = scenes[1].clip
    assert clip is not None
    path = Path(store.url, clip.key)
    await asyncio.to_thread(path.unlink)
    if damage == "changed":
        await store.put(clip.key, clips[1][:-1] + b"!")

    result = await _assemble(store, scenes, gaps=gaps)

    assert result.assembly.gaps[0].number == 2
    assert f"{path} {reason}" in str(result.assembly.gaps[0].reason)
    assert 2 not in {part.number for part in result.assembly.parts if not part.is_slate}
    assert [scene.clip is None for scene in result.assembly.scenes] == [False, True, False]


async def test_no_clip_is_an_error(
    store: Store, scenes: list[Scene], without_clip: Callable[[Scene], Scene]
) -> None:
    """Without any clip there is no film, and the error has the remedy."""
    with pytest.raises(ArchiveError, match="There is no clip to join; run produce first"):
        await _assemble(store, [without_clip(scene) for scene in scenes])


async def test_other_format_is_encoded(
    store: Store, archive_scenes: ArchiveScenes, clips: Sequence[bytes]
) -> None:
    """Clips of different formats get the most common one, and the reason names two of them."""
    scenes = await archive_scenes([films.clip(4, size=(96, 96)), *clips])

    result = await _assemble(store, scenes)

    assert (result.assembly.model.width, result.assembly.model.height) == (192, 96)
    assert result.joiner is Transcoder
    assert result.assembly.reason == (
        "clip 2 is h264 of 192×96 at 24 frames a second, but clip 1 is h264 of 96×96 at 24 frames a second"
    )
    assert result.order[1:] == [1, 2, 3]


async def test_hidden_difference_is_encoded(
    store: Store, archive_scenes: ArchiveScenes, clips: Sequence[bytes]
) -> None:
    """If copying fails midway, because formats differ in a detail, all clips are re-encoded."""
    scenes = await archive_scenes([clips[0], films.clip(2, layout="mono"), clips[2]])

    result = await _assemble(store, scenes)

    assert result.joiner is Transcoder
    assert result.assembly.reason == "its sound has another format than the others"
    assert result.order == [1, 2, 3]


@pytest.mark.parametrize("style", [{"join": "exact"}, {"crossfade_seconds": 0.2}], ids=["exact", "crossfade"])
async def test_style_requires_encoding(store: Store, scenes: list[Scene], style: dict[str, object]) -> None:
    """Exact joins and crossfades re-encode clips of one format, without a reason."""
    result = await _assemble(store, scenes, **style)

    assert (result.joiner, result.assembly.reason) == (Transcoder, None)
    assert result.order == [1, 2, 3]


async def test_model_has_sound(store: Store, archive_scenes: ArchiveScenes, clips: Sequence[bytes]) -> None:
    """If a clip without sound comes first, the film has the sound of the others."""
    scenes = await archive_scenes([films.clip(1, sound=False), *clips[1:]])

    result = await _assemble(store, scenes)

    assert result.assembly.has_sound
    assert (result.joiner, result.order) == (Concatenation, [1, 2, 3])


async def test_cancellation_closes_files(store: Store, scenes: list[Scene]) -> None:
    """A cancelled assembly ends its work in threads before its files are closed."""
    out = io.BytesIO()
    task = asyncio.create_task(assemble(store, scenes * 20, style=JoinStyle(join="exact"), out=out))
    await _first_bytes(out)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def _first_bytes(out: BinaryIO) -> None:
    async with asyncio.timeout(30):
        while not out.tell():
            await asyncio.sleep(0.001)
