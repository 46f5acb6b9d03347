"""Fixtures for tests of films."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from prefect_seedance.film.scenes import Scene
from prefect_seedance.storage.store import Store
from tests import films

ArchiveScenes = Callable[[Sequence[bytes]], Awaitable[list[Scene]]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty archive."""
    return Store.open(str(tmp_path / "archive"))


@pytest.fixture(scope="session")
def clips() -> list[bytes]:
    """Return three clips of one format."""
    return [films.clip(number) for number in (1, 2, 3)]


@pytest.fixture
def archive_scenes(store: Store) -> ArchiveScenes:
    """Return a function that archives clips, and returns their scenes."""

    async def archive(clips: Sequence[bytes]) -> list[Scene]:
        scenes = []
        for number, content in enumerate(clips, 1):
            clip = await films.archived(store, content, name=f"scene {number}")
            scene = Scene(number=number, name=clip.name, fingerprint=clip.fingerprint, seconds=1, clip=clip)
            scenes.append(scene)
        return scenes

    return archive


@pytest.fixture
async def scenes(archive_scenes: ArchiveScenes, clips: Sequence[bytes]) -> list[Scene]:
    """Return the scenes of three archived clips of one format."""
    return await archive_scenes(clips)


@pytest.fixture
def without_clip() -> Callable[[Scene], Scene]:
    """Return a function that returns a scene without its clip."""
    return lambda scene: replace(scene, clip=None, reason="the prompt was rejected")
