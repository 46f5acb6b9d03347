"""Joining a production's clips into a stored film with its record."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from prefect_seedance.errors import ArchiveError
from prefect_seedance.film.join import find_film, join_clips
from prefect_seedance.film.scenes import Film, Scene
from prefect_seedance.options import JoinStyle
from prefect_seedance.storage.store import Store
from tests import films


async def _join(store: Store, scenes: Sequence[Scene], **style: object) -> Film:
    return await join_clips(
        store, scenes, production="sea", title="Sea", style=JoinStyle.model_validate(style)
    )


async def _clips(store: Store, film: Film) -> list[int]:
    """Return the clip of every 24th frame of the stored film."""
    content = await store.read(film.key)
    assert content is not None
    assert await store.read(film.stable_key) == content
    return [mark.clip for mark in films.seen(content).marks[::24]]


def _delete(folder: Path, prefix: str) -> None:
    for path in folder.glob(f"{prefix}*"):
        path.unlink()


async def test_film_is_stored(store: Store, scenes: list[Scene]) -> None:
    """The film is stored with its facts under its digest and a stable key, and can be found."""
    film = await _join(store, scenes)

    content = await store.read(film.key)
    assert await _clips(store, film) == [1, 2, 3]
    assert film.sha256 == hashlib.sha256(content or b"").hexdigest()
    assert film.key == f"productions/sea/film-{film.sha256[:12]}.mp4"
    assert film.stable_key == "productions/sea/film.mp4"
    assert (film.join, film.reason, film.gaps) == ("copied", None, ())
    assert (film.width, film.height, film.frame_rate, film.has_sound) == (192, 96, 24.0, True)
    assert film.duration_seconds == pytest.approx(3.0)
    assert await find_film(store, "sea") == film


async def test_no_film_is_found(store: Store) -> None:
    """A production without a film has no record."""
    assert await find_film(store, "sea") is None


async def test_record_is_json(store: Store, scenes: list[Scene]) -> None:
    """The record is readable JSON beside the film."""
    film = await _join(store, scenes)

    record = json.loads(await store.read("productions/sea/film.json") or b"")

    assert record["key"] == film.key
    assert [part["name"] for part in record["parts"]] == ["scene 1", "scene 2", "scene 3"]


async def test_same_film_is_not_joined_again(store: Store, scenes: list[Scene]) -> None:
    """With the same clips and style, the stored film is returned."""
    first, second = await _join(store, scenes), await _join(store, scenes)

    assert second == first


@pytest.mark.parametrize(
    ("style", "shown"),
    [
        pytest.param(
            {"join": "auto", "gaps": "skip", "crossfade_seconds": 0.0},
            lambda scene: [scene.number, scene.clip.sha256],
            id="default",
        ),
        pytest.param(
            {"join": "exact", "gaps": "slate", "crossfade_seconds": 0.5},
            lambda scene: [scene.number, scene.name, scene.seconds, scene.clip.sha256, scene.reason],
            id="slate",
        ),
    ],
)
async def test_recipe_is_stable(
    store: Store, scenes: list[Scene], style: dict[str, object], shown: Callable[[Scene], object]
) -> None:
    """The recipe changes only with the way of joining, so that older films are not joined again."""
    film = await _join(store, scenes, **style)

    content = json.dumps([1 if film.join == "copied" else 2, style, [shown(scene) for scene in scenes]])
    assert film.recipe == hashlib.sha256(content.encode()).hexdigest()


@pytest.mark.parametrize("change", ["order", "fewer", "missing", "style"])
async def test_change_is_joined(
    store: Store, scenes: list[Scene], without_clip: Callable[[Scene], Scene], change: str
) -> None:
    """A changed film is stored under another key, and the stable key refers to the latest."""
    first = await _join(store, scenes)
    changed = {
        "order": scenes[::-1],
        "fewer": scenes[:2],
        "missing": [scenes[0], without_clip(scenes[1]), scenes[2]],
        "style": scenes,
    }[change]

    second = await _join(store, changed, join="exact" if change == "style" else "auto")

    assert second.key != first.key
    assert await store.size_bytes(first.key) == first.size_bytes
    assert await store.read(second.stable_key) == await store.read(second.key)


async def test_repaired_clip_is_joined(store: Store, scenes: list[Scene], clips: Sequence[bytes]) -> None:
    """A damaged clip is a gap, until its file is repaired."""
    clip = scenes[1].clip
    assert clip is not None
    await store.put(clip.key, clips[1][:-1] + b"!")

    damaged = await _join(store, scenes)
    await store.put(clip.key, clips[1])
    repaired = await _join(store, scenes)

    assert [gap.number for gap in damaged.gaps] == [2]
    assert repaired.gaps == ()
    assert await _clips(store, repaired) == [1, 2, 3]


@pytest.mark.parametrize("lost", ["film.mp4", "film-"])
async def test_lost_film_is_joined_again(store: Store, scenes: list[Scene], lost: str) -> None:
    """If a file of a recorded film is missing, the film is joined again."""
    first = await _join(store, scenes)
    await asyncio.to_thread(_delete, Path(store.url, "productions/sea"), lost)

    second = await _join(store, scenes)

    assert second.sha256 == first.sha256
    assert await _clips(store, second) == [1, 2, 3]


async def test_damaged_record_is_replaced(store: Store, scenes: list[Scene]) -> None:
    """A damaged record is ignored and replaced."""
    await store.put("productions/sea/film.json", b"{half")

    film = await _join(store, scenes)

    assert await find_film(store, "sea") == film


async def test_concurrent_record_is_true(store: Store, scenes: list[Scene]) -> None:
    """The record of either of two concurrent runs describes the film that it names."""
    other = await _join(store, scenes[:2])
    ours = await _join(store, scenes)
    await store.put("productions/sea/film.json", other.model_dump_json().encode())

    content = await store.read(other.key)

    assert other.key != ours.key
    assert content is not None
    assert len(content) == other.size_bytes
    assert len(films.seen(content).marks) == 48


async def test_error_leaves_no_film(
    store: Store, scenes: list[Scene], without_clip: Callable[[Scene], Scene]
) -> None:
    """Without any clip, nothing is written."""
    with pytest.raises(ArchiveError, match="There is no clip to join"):
        await _join(store, [without_clip(scene) for scene in scenes])

    assert await store.keys("productions/") == ()


async def test_full_disk_has_remedy(
    store: Store, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the temporary folder cannot be written, the error has the remedy, and nothing is written."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")

    with pytest.raises(ArchiveError, match=r"/nowhere .*TMPDIR"):
        await _join(store, scenes)

    assert await store.keys("productions/") == ()
