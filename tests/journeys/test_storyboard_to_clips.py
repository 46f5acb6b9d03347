"""A storyboard of four images becomes three clips, without repeated work."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from prefect_seedance.video.similarity import similarity
from tests import films
from tests.processes import Command, Place, Sandbox

_SHOTS = {"dawn": "#f2b48c", "noon": "#8cc8f2", "dusk": "#c06a8c", "night": "#101c38"}


@pytest.fixture
def images(tmp_path: Path) -> list[Image.Image]:
    """Return four clearly different images."""
    folder = tmp_path / "film"
    folder.mkdir()
    drawn = []
    for number, (name, colour) in enumerate(_SHOTS.items()):
        image = Image.new("RGB", (864, 496), colour)
        left = 100 + 170 * number
        ImageDraw.Draw(image).rectangle((left, 120, left + 120, 420), fill="white")
        image.save(folder / f"{name}.png")
        drawn.append(image)
    return drawn


@pytest.fixture
def film(tmp_path: Path, images: list[Image.Image]) -> Path:
    """Return a storyboard of these images."""
    shots = "".join(f"  - {{image: {name}.png, prompt: drifting clouds after {name}}}\n" for name in _SHOTS)
    settings = "{resolution: 480p, aspect_ratio: 16:9, sound: true}"
    board = tmp_path / "film" / "storyboard.yaml"
    board.write_text(f"title: A day\ndefaults: {settings}\nshots:\n{shots}", encoding="utf-8")
    assert len(images) == len(_SHOTS)
    return board


def test_storyboard_becomes_clips(
    run_cli: Command,
    production_env: dict[str, str],
    sandbox: Sandbox,
    place: Place,
    film: Path,
    images: list[Image.Image],
) -> None:
    """Clips begin and end with the images; a second run does nothing; an edit buys one clip."""
    polling = ("--first-poll", "0.2", "--poll-every", "0.2")
    words = ("produce", film, "--archive", place.name, *place.options, "--json", *polling)
    env = {**production_env, **place.env}

    first = _clips(run_cli(*words, env=env))
    books = sandbox.totals()
    second = _clips(run_cli(*words, env=env))
    untouched = sandbox.totals()
    film.write_text(film.read_text(encoding="utf-8").replace("after noon", "after lunch"), encoding="utf-8")
    third = _clips(run_cli(*words, env=env))

    contents = place.contents()
    assert [clip["name"] for clip in first] == ["dawn → noon", "noon → dusk", "dusk → night"]
    assert [clip["status"] for clip in first] == ["made"] * 3
    for clip, start, end in zip(first, images, images[1:], strict=False):
        frames = films.frames(contents[clip["clip"]["key"]])
        assert similarity(start, frames[0]) > 0.95
        assert similarity(end, frames[-1]) > 0.95
        assert similarity(start, frames[-1]) < 0.9
    manifest = json.loads(contents["productions/a-day/manifest.json"])
    assert len(manifest["clips"]) == 3
    assert [clip["status"] for clip in second] == ["reused"] * 3
    assert untouched == books
    assert [clip["status"] for clip in third] == ["reused", "made", "reused"]
    assert sandbox.totals()["submits_received"] == 4
    assert sandbox.totals()["duplicates"] == 0
    assert sandbox.totals()["foreign_headers"] == 0


def _clips(run: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert run.returncode == 0, run.stderr
    return list(json.loads(run.stdout)["clips"])
