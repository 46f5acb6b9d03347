"""Two workers that divide an account, on a Prefect server with PostgreSQL; one machine dies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.cli.exit_codes import ExitCode
from tests.fleet import Fleet, fleets, write_catalog
from tests.flows.conftest import eventually

_STORYBOARDS, _CLIPS = 6, 3
_SLOTS = 6

_RECOVERY_SECONDS = 600.0
"""A dead run is noticed after two minutes, and so are its slots; a busy machine takes longer."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Run a server and a sandbox with few slots, and deploy the flows, as a team does."""
    home = tmp_path_factory.mktemp("fleet")
    with fleets(home, slots=_SLOTS, requests_per_minute=12 * _SLOTS, speed=4) as fleet:
        fleet.deploy(runs=_STORYBOARDS)
        yield fleet


@pytest.fixture(scope="module")
def prefect_server(fleet: Fleet) -> str:
    """Use the server of the fleet in this module."""
    return fleet.url


def _manifest(output: str) -> dict[str, Any]:
    return dict(json.loads(output))


def test_fleet_survives_a_machine(fleet: Fleet, tmp_path: Path) -> None:
    """After a machine has died, its slots and runs come back without a person, and nothing is paid twice.

    The account's limits hold for both workers together. Made again, a complete catalogue costs listings only.
    """
    season = write_catalog(tmp_path / "season", storyboards=_STORYBOARDS, clips=_CLIPS)
    options = ("--at-a-time", _STORYBOARDS)

    with (
        fleet.worker("stable", runs=_STORYBOARDS // 2) as stable,
        fleet.worker("dying", runs=_STORYBOARDS // 2) as dying,
        fleet.making(season, *options) as making,
    ):
        assert eventually(lambda: stable.runs > 1 and dying.runs > 1 and fleet.kill(dying, in_flight=2))
        output, errors = making.communicate(timeout=_RECOVERY_SECONDS)
        first = _manifest(output)
        returned = eventually(lambda: fleet.leased() == 0)
        before, runs = fleet.sandbox.totals(), fleet.child_runs()
        with fleet.making(season, *options) as again:
            second = _manifest(again.communicate(timeout=_RECOVERY_SECONDS)[0])

    clips = _STORYBOARDS * _CLIPS
    assert [each["status"] for each in first["entries"]] == ["made"] * _STORYBOARDS, errors
    assert returned
    assert fleet.archived() == clips
    assert (before["accepted"], before["submits_received"], before["duplicates"]) == (clips, clips, 0)
    assert before["max_in_flight"] <= _SLOTS
    assert before["worst_minute_requests"] <= 12 * _SLOTS
    assert [each["status"] for each in second["entries"]] == ["complete"] * _STORYBOARDS
    assert second["exit_code"] == ExitCode.complete
    assert fleet.sandbox.totals() == before
    assert len(fleet.child_runs()) == len(runs)
