"""From a storyboard to its film, in a folder and in a bucket.

The command runs without Prefect; `tests/flows` joins films in flows.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import films
from tests.processes import Command, Place, Sandbox

_FAST = ("--first-poll", "0.2", "--poll-every", "0.2", "--no-report", "--json")
_FRAMES = 16
"""Frames of a clip: four seconds at the sandbox's four frames a second."""


def _output(run: subprocess.CompletedProcess[str], *, code: int = 0) -> dict[str, Any]:
    assert run.returncode == code, run.stderr
    return dict(json.loads(run.stdout))


def test_storyboard_becomes_film(run_cli: Command, sandbox: Sandbox, place: Place, board: Path) -> None:
    """A run ends with the film; the next run does not join again; other join options do, and buy nothing."""
    arguments = ("produce", board, "--archive", place.name, *place.options, *_FAST)
    env = {**sandbox.env, **place.env}

    first = _output(run_cli(*arguments, env=env))
    contents = place.contents()
    second = _output(run_cli(*arguments, env=env))
    bought = sandbox.totals()["submits_received"]
    exact = _output(run_cli("film", place.name, "--join", "exact", "--json", env=place.env))

    film = first["film"]
    assert film["join"] == "copied"
    assert contents["productions/test-board/film.mp4"] == contents[film["key"]]
    assert len(films.frames(contents[film["key"]])) == 2 * _FRAMES
    assert [part["start_seconds"] for part in film["parts"]] == [0.0, 4.0]
    assert second["film"] == film
    assert (exact["join"], exact["parts"][1]["dropped_frames"]) == ("exact", 1)
    assert len(films.frames(place.contents()[exact["key"]])) == 2 * _FRAMES - 1
    assert json.loads(place.contents()["productions/test-board/manifest.json"])["film"] == {
        key: value for key, value in exact.items() if key != "archive"
    }
    assert sandbox.totals()["submits_received"] == bought == 2


def test_seams_are_measured_and_required(
    run_cli: Command, sandbox: Sandbox, place: Place, board: Path
) -> None:
    """The manifest has the similarity of each seam; a clip below the required one fails and is kept."""
    arguments = ("produce", board, "--archive", place.name, *place.options, *_FAST)
    env = {**sandbox.env, **place.env}

    measured = _output(run_cli(*arguments, env=env))
    required = _output(run_cli(*arguments, "--min-similarity", "1", env=env), code=1)

    seams = [clip["seams"] for clip in measured["clips"]]
    assert all(each[end]["ssim"] > 0.95 for each in seams for end in ("start", "end"))
    assert seams[0]["next"]["ssim"] > 0.95
    assert seams[1]["next"] is None
    contents = place.contents()
    for clip in measured["clips"]:
        assert contents[clip["inspection"]["middle_still"]].startswith(b"\xff\xd8")
        assert clip["inspection"]["has_sound"] is False
    failed = [clip for clip in required["clips"] if clip["status"] == "failed"]
    assert failed
    assert all(clip["clip"] and "raise its 'take'" in clip["reason"] for clip in failed)
    assert required["film"]["gaps"] == []
    assert sandbox.totals()["submits_received"] == 2


@pytest.mark.parametrize("gaps", ["skip", "slate"])
def test_missing_clip_is_reported(
    run_cli: Command, sandbox: Sandbox, place: Place, board: Path, gaps: str
) -> None:
    """A rejected clip is missing in the film, which records the gap and contains the rest."""
    rejected = {"fault": "fail", "code": "CONTENT_VIOLATION", "message": "not allowed"}
    sandbox.faults({"kind": "generation", "clip": "after noon", **rejected})
    arguments = ("produce", board, "--archive", place.name, *place.options, *_FAST, "--gaps", gaps)

    measured = _output(run_cli(*arguments, env={**sandbox.env, **place.env}), code=1)

    film = measured["film"]
    assert [(gap["number"], gap["is_slated"]) for gap in film["gaps"]] == [(2, gaps == "slate")]
    assert "CONTENT_VIOLATION" in film["gaps"][0]["reason"]
    frames = films.frames(place.contents()[film["key"]])
    assert len(frames) == (2 if gaps == "slate" else 1) * _FRAMES


def test_film_needs_a_production(run_cli: Command, archive: Path) -> None:
    """Without a production, the film command names the next step."""
    run = run_cli("film", archive)

    assert run.returncode == 2
    assert "0 productions; produce one first" in run.stderr
