"""Joining a production's clips: what plays, what is missing, and what is not done twice."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from prefect_seedance.errors import ArchiveError
from prefect_seedance.film.join import Film, find_film, join_clips
from prefect_seedance.film.scenes import Part, Scene
from prefect_seedance.options import JoinStyle
from prefect_seedance.storage.store import Store
from tests import films
from tests.films import Mark


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty archive."""
    return Store.open(str(tmp_path / "archive"))


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """Three that can be copied."""
    return [films.clip(number) for number in (1, 2, 3)]


async def _scenes(store: Store, clips: Sequence[bytes]) -> list[Scene]:
    scenes = []
    for number, content in enumerate(clips, 1):
        clip = await films.archived(store, content, name=f"scene {number}")
        scene = Scene(number=number, name=clip.name, fingerprint=clip.fingerprint, seconds=1, clip=clip)
        scenes.append(scene)
    return scenes


async def _join(store: Store, scenes: Sequence[Scene], **style: object) -> Film:
    return await join_clips(
        store, scenes, production="sea", title="Sea", style=JoinStyle.model_validate(style)
    )


async def _marks(store: Store, film: Film) -> list[Mark]:
    content = await store.read(film.key)
    assert content is not None
    assert await store.read(film.stable_key) == content
    return films.seen(content).marks


def _delete(folder: Path, beginning: str) -> None:
    for path in folder.glob(f"{beginning}*"):
        path.unlink()


def _lost(scene: Scene) -> Scene:
    return replace(scene, clip=None, reason="the prompt was rejected")


async def test_film_of_all_clips(store: Store, clips: Sequence[bytes]) -> None:
    """It shows every clip in order, and its record tells where each begins."""
    scenes = await _scenes(store, clips)

    film = await _join(store, scenes)

    assert await _marks(store, film) == [Mark(clip, frame) for clip in (1, 2, 3) for frame in range(24)]
    assert film.key == f"productions/sea/film-{film.sha256[:12]}.mp4"
    assert (film.join, film.reason, film.gaps) == ("copied", None, ())
    assert (film.width, film.height, film.frame_rate, film.has_sound) == (192, 96, 24.0, True)
    assert film.duration_seconds == pytest.approx(3.0)
    assert film.parts[1] == Part(
        number=2,
        name="scene 2",
        fingerprint=scenes[1].fingerprint,
        sha256=scenes[1].clip and scenes[1].clip.sha256,
        start_seconds=1.0,
        duration_seconds=1.0,
    )
    assert await find_film(store, "sea") == film


async def test_same_clip_twice(store: Store, clips: Sequence[bytes]) -> None:
    """A clip that stands at two places of the storyboard plays at both."""
    scenes = await _scenes(store, [clips[0], clips[1], clips[0]])

    film = await _join(store, scenes)

    assert [mark.clip for mark in await _marks(store, film)][::24] == [1, 2, 1]


async def test_nothing_changed(store: Store, clips: Sequence[bytes]) -> None:
    """A film whose clips and style are the same is not joined again."""
    scenes = await _scenes(store, clips)

    first, second = await _join(store, scenes), await _join(store, scenes)

    assert second == first


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda scenes: scenes[::-1], id="order"),
        pytest.param(lambda scenes: scenes[:2], id="fewer"),
        pytest.param(lambda scenes: [scenes[0], _lost(scenes[1]), scenes[2]], id="missing"),
    ],
)
async def test_change_is_joined(store: Store, clips: Sequence[bytes], change: object) -> None:
    """What has changed is joined again, under a name of its own, and the stable name follows."""
    scenes = await _scenes(store, clips)
    first = await _join(store, scenes)

    second = await _join(store, change(scenes))  # type: ignore[operator]

    assert second.key != first.key
    assert await store.size_bytes(first.key) == first.size_bytes
    assert await store.read(second.stable_key) == await store.read(second.key)


@pytest.mark.parametrize("lost", ["film.mp4", "film-"])
async def test_lost_film_is_joined_again(store: Store, clips: Sequence[bytes], lost: str) -> None:
    """A record without its film counts for nothing."""
    scenes = await _scenes(store, clips)
    first = await _join(store, scenes)
    await asyncio.to_thread(_delete, Path(store.url, "productions/sea"), lost)

    second = await _join(store, scenes)

    assert second.sha256 == first.sha256
    assert await _marks(store, second)


async def test_damaged_record_counts_for_nothing(store: Store, clips: Sequence[bytes]) -> None:
    """A record that cannot be read is written anew."""
    await store.put("productions/sea/film.json", b"{half")

    film = await _join(store, await _scenes(store, clips))

    assert await find_film(store, "sea") == film


async def test_rivals_records_are_true(store: Store, clips: Sequence[bytes]) -> None:
    """Whichever of two runs is last, the record tells of the bytes that it names."""
    scenes = await _scenes(store, clips)
    rival = await _join(store, scenes[:2])
    ours = await _join(store, scenes)
    await store.put("productions/sea/film.json", rival.model_dump_json().encode())

    content = await store.read(rival.key)

    assert rival.key != ours.key
    assert content is not None
    assert len(content) == rival.size_bytes
    assert len(films.seen(content).marks) == 48


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_gap_is_skipped_and_said(store: Store, clips: Sequence[bytes], place: int) -> None:
    """A missing clip stops nothing: the film goes on, and says what it lacks, where and why."""
    scenes = await _scenes(store, clips)
    scenes[place] = _lost(scenes[place])

    film = await _join(store, scenes)

    left = [number for number in (1, 2, 3) if number != place + 1]
    assert [mark.clip for mark in await _marks(store, film)][::24] == left
    (gap,) = film.gaps
    assert gap.at_seconds == pytest.approx(place)
    assert (gap.number, gap.is_slated, gap.reason) == (place + 1, False, "the prompt was rejected")
    assert film.join == "copied"


async def test_gap_is_slated(store: Store, clips: Sequence[bytes]) -> None:
    """A slate stands for a missing clip as long as that was planned to be."""
    scenes = await _scenes(store, clips)
    scenes[1] = replace(_lost(scenes[1]), seconds=2)

    film = await _join(store, scenes, gaps="slate")

    marks = await _marks(store, film)
    assert len(marks) == 96
    assert (marks[0], marks[72]) == (Mark(1, 0), Mark(3, 0))
    assert [(part.number, part.is_slate, part.start_seconds) for part in film.parts] == [
        (1, False, 0.0),
        (2, True, pytest.approx(1.0)),
        (3, False, pytest.approx(3.0)),
    ]
    assert film.gaps[0].is_slated
    assert (film.join, film.reason) == ("exact", "a slate for a missing clip has to be encoded")


@pytest.mark.parametrize("gaps", ["skip", "slate"])
@pytest.mark.parametrize("harm", ["flip", "delete"])
async def test_damaged_clip_is_a_gap(store: Store, clips: Sequence[bytes], harm: str, gaps: str) -> None:
    """Bytes that are not those recorded never get into a film; once mended, they do."""
    scenes = await _scenes(store, clips)
    victim = scenes[1].clip
    assert victim is not None
    path = Path(store.url, victim.key)
    await asyncio.to_thread(_delete, path.parent, path.name)
    if harm == "flip":
        await store.put(victim.key, clips[1][:-1] + b"!")

    film = await _join(store, scenes, gaps=gaps)
    await store.put(victim.key, clips[1])
    mended = await _join(store, scenes, gaps=gaps)

    assert film.gaps[0].number == 2
    assert f"{path} " in str(film.gaps[0].reason)
    assert 2 not in {part.number for part in film.parts if not part.is_slate}
    assert mended.gaps == ()
    assert {mark.clip for mark in await _marks(store, mended)} == {1, 2, 3}


async def test_no_clip_is_no_film(store: Store, clips: Sequence[bytes]) -> None:
    """Without a single clip there is nothing to join, and nothing is written."""
    scenes = [_lost(scene) for scene in await _scenes(store, clips)]

    with pytest.raises(ArchiveError, match="There is no clip to join"):
        await _join(store, scenes)

    assert await store.keys("productions/") == ()


async def test_differing_clips_are_encoded(store: Store, clips: Sequence[bytes]) -> None:
    """What differs is brought to the most common kind, and the film says why it was encoded."""
    scenes = await _scenes(store, [films.clip(4, size=(96, 96)), *clips])

    film = await _join(store, scenes)

    assert (film.width, film.height, film.join) == (192, 96, "exact")
    assert film.reason == (
        "clip 2 is h264 of 192×96 at 24 frames a second, clip 1 h264 of 96×96 at 24 frames a second"
    )
    assert [mark.clip for mark in (await _marks(store, film))[24::24]] == [1, 2, 3]


async def test_hidden_difference_is_encoded(store: Store, clips: Sequence[bytes]) -> None:
    """A difference that only the encoded bytes show is found, and changes the way, not the film."""
    scenes = await _scenes(store, [clips[0], films.clip(2, layout="mono"), clips[2]])

    film = await _join(store, scenes)

    assert (film.join, film.reason) == ("exact", "its sound has another format than the others")
    assert [mark.clip for mark in (await _marks(store, film))][::24] == [1, 2, 3]


async def test_exact_is_done_on_demand(store: Store, clips: Sequence[bytes]) -> None:
    """Clips that could be copied are encoded if that is asked for; going back joins them again."""
    scenes = await _scenes(store, clips)

    exact = await _join(store, scenes, join="exact")
    faded = await _join(store, scenes, crossfade_seconds=0.2)
    copied = await _join(store, scenes)

    assert [film.join for film in (exact, faded, copied)] == ["exact", "exact", "copied"]
    assert copied.key != exact.key
    assert exact.reason is None


async def test_full_disk_is_told(
    store: Store, clips: Sequence[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary folder that is full is named as what it is, and no film is left behind."""
    scenes = await _scenes(store, clips)
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")

    with pytest.raises(ArchiveError, match=r"/nowhere .*TMPDIR"):
        await _join(store, scenes)

    assert await store.keys("productions/") == ()


async def test_record_is_for_people(store: Store, clips: Sequence[bytes]) -> None:
    """The record is readable JSON beside the film."""
    film = await _join(store, await _scenes(store, clips))

    record = json.loads(await store.read("productions/sea/film.json") or b"")

    assert record["key"] == film.key
    assert [part["name"] for part in record["parts"]] == ["scene 1", "scene 2", "scene 3"]
