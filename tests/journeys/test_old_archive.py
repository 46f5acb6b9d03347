"""An archive that version 0.1 made: this version reuses its records, clips and film unchanged."""

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import ROOT, Command, Sandbox, contents_of

_DATA = ROOT / "tests/data/archive-0.1"
_BOARD = _DATA / "storyboard.yaml"
_CUTAWAYS = _DATA / "cutaways.yaml"

_PORT = 28765
"""The port in the records' base URL. The archive's README explains it."""

_PORT_SECONDS = 60.0
"""How long a test waits for another test run to release the port."""

_REUSED = "e132dd87bcf5ee8af1443670b4187081"
_RETRIED = "2c726ef961e3626e18581476a5bd89ae"
_REJECTED = "4ad7dddf3686b68c4e724f4910a067ea"
_UNRESOLVED = "451b271092ee5cb3387f9258b6340d9d"
_FROM_TEXT = "5da83cc1e578caf36cea0faa7b6024bb"
_FROM_URL = "84e02f707c3d2a4b1b93c92f4f74a7cb"
_CALLED_BACK = "fee04cab1da2c5cc07998b88049b542c"

_LIGHTHOUSE = (_REUSED, _RETRIED, _REJECTED, _UNRESOLVED)
_OTHERS = (_FROM_TEXT, _FROM_URL, _CALLED_BACK)

_QUICK = ("--first-poll", "0.2", "--poll-every", "0.2", "--deadline", "60", "--json")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a copy of the old archive, whose images the sandbox serves."""
    return shutil.copytree(_DATA / "archive", tmp_path / "archive")


def _fields(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def _stored(archive: Path) -> dict[str, bytes]:
    """Return everything that no run may change: the ledger, clips, stills, images and films."""
    return {
        key: content
        for key, content in contents_of(archive).items()
        if key.startswith(("clips/", "images/")) or "/film" in key
    }


def _film(archive: Path) -> dict[str, Any]:
    return _fields((archive / "productions/lighthouse/film.json").read_text(encoding="utf-8"))


def _status(clip: Mapping[str, Any]) -> str:
    """Return a clip's status; version 0.1 calls it standing in manifests, and state in the ledger."""
    return next(str(clip[name]) for name in ("status", "standing", "state") if name in clip)


def _statuses(clips: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {clip["fingerprint"]: _status(clip) for clip in clips}


def test_plan_reuses_every_clip(run_cli: Command, archive: Path) -> None:
    """The old storyboards have the old fingerprints, so a plan makes and bills nothing."""
    before = contents_of(archive)

    plans = [
        _fields(run_cli("plan", board, "--archive", archive, "--json").stdout)
        for board in (_BOARD, _CUTAWAYS)
    ]

    lighthouse, cutaways = ({clip["fingerprint"]: clip["action"] for clip in plan["clips"]} for plan in plans)
    assert lighthouse == dict(
        zip(_LIGHTHOUSE, ("reuse", "reuse", "leave failed", "leave unresolved"), strict=True)
    )
    assert cutaways == dict.fromkeys(_OTHERS, "reuse")
    assert [plan["billed_seconds"] for plan in plans] == [0, 0]
    assert contents_of(archive) == before


@pytest.mark.parametrize(
    ("board", "production", "exit_code", "expected"),
    [
        pytest.param(
            _BOARD,
            "lighthouse",
            3,
            dict(zip(_LIGHTHOUSE, ("reused", "reused", "failed", "unresolved"), strict=True)),
            id="storyboard",
        ),
        pytest.param(_CUTAWAYS, "lighthouse-cutaways", 0, dict.fromkeys(_OTHERS, "reused"), id="clip list"),
    ],
)
def test_production_spends_nothing(
    run_cli: Command,
    production_env: dict[str, str],
    sandbox: Sandbox,
    archive: Path,
    board: Path,
    production: str,
    exit_code: int,
    expected: Mapping[str, str],
) -> None:
    """A new run reuses each archived clip and the film, asks the API nothing, and changes no record."""
    before, manifest = _stored(archive), archive / f"productions/{production}/manifest.json"
    old = _fields(manifest.read_text(encoding="utf-8"))

    run = run_cli(
        "produce", board, "--archive", archive, "--images-url", sandbox.hosted, *_QUICK, env=production_env
    )

    new = _fields(run.stdout)
    assert run.returncode == new["exit_code"] == exit_code, run.stderr
    assert _statuses(new["clips"]) == expected
    assert [clip["clip"] for clip in new["clips"]] == [
        clip["clip"] and {"schema_version": 1, **clip["clip"]} for clip in old["clips"]
    ]
    assert [clip["seams"] for clip in new["clips"]] == [clip["seams"] for clip in old["clips"]]
    assert new["film"] == old["film"]
    assert _stored(archive) == before
    assert _fields(manifest.read_text(encoding="utf-8"))["began_at"] > old["began_at"]
    totals = sandbox.totals()
    assert [totals[name] for name in ("submits_received", "status_reads", "file_requests")] == [0, 0, 0]


def test_ledger_lists_every_attempt(run_cli: Command, archive: Path) -> None:
    """The ledger lists the old clips with their statuses and attempts, and the unresolved one by itself."""
    every = _fields(run_cli("ledger", archive, "--json").stdout)["clips"]
    (unresolved,) = _fields(run_cli("ledger", archive, "--unresolved", "--json").stdout)["clips"]

    archived = dict.fromkeys((_REUSED, _RETRIED, *_OTHERS), "archived")
    assert _statuses(every) == {**archived, _REJECTED: "failed", _UNRESOLVED: "unresolved"}
    attempts = {clip["fingerprint"]: clip["attempts"] for clip in every}
    assert attempts == {**dict.fromkeys((*_LIGHTHOUSE, *_OTHERS), 1), _RETRIED: 2, _FROM_URL: 2}
    reasons = {clip["fingerprint"]: clip["reason"] for clip in every if clip["reason"]}
    assert reasons == {_REJECTED: "CONTENT_VIOLATION, a scripted fault"}
    assert unresolved["fingerprint"] == _UNRESOLVED
    assert unresolved["production"] == "lighthouse"
    assert unresolved["generation_id"] is None
    assert unresolved["asked_by"] == "studio-1 process 4241, flow run produce lighthouse"


def test_lost_submission_is_made_again(
    run_cli: Command, production_env: dict[str, str], sandbox: Sandbox, archive: Path
) -> None:
    """After the old submission is declared lost, the next run submits this clip once, and no other."""
    before = _stored(archive)
    words = ("--archive", archive, "--images-url", sandbox.hosted, *_QUICK)

    resolved = run_cli("resolve", archive, _UNRESOLVED[:12], "--lost", "--json")
    left = _fields(run_cli("ledger", archive, "--unresolved", "--json").stdout)["clips"]
    run = run_cli("produce", _BOARD, *words, env=production_env)

    assert resolved.returncode == 0, resolved.stderr
    assert _fields(resolved.stdout)["result"] == "lost"
    assert left == []
    new = _fields(run.stdout)
    assert run.returncode == 1, run.stderr
    assert list(_statuses(new["clips"]).values()) == ["reused", "reused", "failed", "made"]
    assert new["clips"][3]["attempt"] == 2
    assert sandbox.totals()["submits_received"] == sandbox.totals()["accepted"] == 1
    assert [part["fingerprint"] for part in new["film"]["parts"]] == [_REUSED, _RETRIED, _UNRESOLVED]
    kept = {key: content for key, content in before.items() if "/film" not in key}  # another film replaced it
    assert kept.items() <= _stored(archive).items()


def _await_port() -> None:
    latest = time.monotonic() + _PORT_SECONDS
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", _PORT))
            return
        assert time.monotonic() < latest, f"another process uses port {_PORT}"
        time.sleep(0.2)


def _generate(sandbox: Sandbox, intent: Mapping[str, Any]) -> str:
    """Send the recorded request to the sandbox, and return the generation's id."""
    body = {name: value for name, value in intent["request"].items() if value is not None}
    answer = httpx.post(
        f"{intent['base_url']}/api/v1/generateTask/{intent['model']}",
        json=body,
        headers={"Authorization": f"Bearer {sandbox.key}"},
    )
    return str(answer.raise_for_status().json()["data"]["taskId"])


def test_submission_is_adopted(
    run_cli: Command, start_sandbox: Callable[..., Sandbox], prefect_server: str, archive: Path
) -> None:
    """A generation at the recorded base URL is adopted, and the next run archives it and submits none."""
    before = _stored(archive)
    _await_port()
    sandbox = start_sandbox(port=_PORT, serve=archive.parent)  # the recorded image URLs begin there
    env = {"PREFECT_API_URL": prefect_server, **sandbox.env}
    intent = _fields((archive / f"clips/{_UNRESOLVED}/attempt-001/intent.json").read_text(encoding="utf-8"))
    generation_id = _generate(sandbox, intent)
    words = ("--archive", archive, "--images-url", f"{sandbox.hosted}archive/images", *_QUICK)

    adopted = run_cli("resolve", archive, _UNRESOLVED, "--adopt", generation_id, "--json", env=env)
    run = run_cli("produce", _BOARD, *words, env=env)

    assert sandbox.url == intent["base_url"]
    assert adopted.returncode == 0, adopted.stderr
    assert _fields(adopted.stdout)["generation_id"] == generation_id
    new = _fields(run.stdout)
    assert run.returncode == 1, run.stderr
    assert list(_statuses(new["clips"]).values()) == ["reused", "reused", "failed", "made"]
    assert new["clips"][3]["clip"]["generation_id"] == generation_id
    assert new["clips"][3]["attempt"] == 1
    assert sandbox.totals()["submits_received"] == 1
    kept = {key: content for key, content in before.items() if "/film" not in key}  # another film replaced it
    assert kept.items() <= _stored(archive).items()


def test_adoption_keeps_to_the_recorded_host(
    run_cli: Command, production_env: dict[str, str], sandbox: Sandbox, archive: Path
) -> None:
    """With credentials for another base URL, an adoption names the recorded one and records nothing."""
    before = contents_of(archive)

    adopted = run_cli("resolve", archive, _UNRESOLVED, "--adopt", "task_0123456789abcdef", env=production_env)

    assert adopted.returncode == 2
    assert f"set http://127.0.0.1:{_PORT} as SEEDANCE_BASE_URL" in adopted.stderr
    assert contents_of(archive) == before
    assert sandbox.totals()["status_reads"] == 0


def test_report_is_written_again(run_cli: Command, archive: Path) -> None:
    """A report command reads the old manifest, ledger and stills, and writes the page again."""
    folder, before = archive / "productions/lighthouse", _stored(archive)
    (folder / "report.html").write_text("old", encoding="utf-8")
    (folder / "contact-sheet.jpg").unlink()

    run = run_cli("report", archive, "lighthouse", "--json")

    assert run.returncode == 0, run.stderr
    assert _fields(run.stdout)["key"] == "productions/lighthouse/report.html"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert all(
        words in page for words in ("Lighthouse", "dawn → noon", "CONTENT_VIOLATION", _UNRESOLVED[:12])
    )
    assert (folder / "contact-sheet.jpg").stat().st_size > 0
    assert _stored(archive) == before


def test_film_is_not_joined_again(run_cli: Command, archive: Path) -> None:
    """A film command finds the old film for the same clips, and returns its record."""
    old, before = _film(archive), _stored(archive)

    run = run_cli("film", archive, "lighthouse", "--json")

    assert run.returncode == 0, run.stderr
    assert old.items() <= _fields(run.stdout).items()
    assert _stored(archive) == before
