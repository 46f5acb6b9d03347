"""The command that makes a production, as far as it goes in this process."""

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.cli.produce import configure_logs
from tests.cli.conftest import Run
from tests.processes import Sandbox

_POLLS = ("--first-poll", "0.1", "--poll-every", "0.1")


@pytest.fixture(autouse=True)
def _account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use the sandbox's account, and no settings of the developer."""
    for name, value in {**sandbox.env, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def words(board: Path, archive: Path, sandbox: Sandbox) -> tuple[object, ...]:
    """Return the arguments of a production of the storyboard, without film and report."""
    quick = (*_POLLS, "--no-film", "--no-report")
    return ("produce", board, "--archive", archive, "--images-url", sandbox.hosted, *quick)


def test_prints_steps_and_summary(
    words: tuple[object, ...], capsys: pytest.CaptureFixture[str], archive: Path
) -> None:
    """Every step goes to standard error, and only the summary to the output."""
    assert main(list(map(str, words))) == 0

    out, err = capsys.readouterr()
    steps = [line.split("  ")[1:] for line in err.splitlines() if "dawn → noon  " in line]
    assert ["dawn → noon", "submitting"] in steps
    assert ["dawn → noon", "made"] in steps
    assert f"Manifest  {archive}/productions/test-board/manifest.json" in out
    assert f"Clips     {archive}/productions/test-board/clips/\n" in out
    assert "submitting" not in out


def test_json_is_manifest(words: tuple[object, ...], run_json: Run, sandbox: Sandbox) -> None:
    """With --json the output is the manifest with the exit code; a second run reuses every clip."""
    first, second = run_json(*words), run_json(*words)

    assert (first["exit_code"], second["exit_code"]) == (0, 0)
    assert [clip["status"] for clip in first["clips"]] == ["made", "made"]
    assert [clip["status"] for clip in second["clips"]] == ["reused", "reused"]
    assert sandbox.totals()["accepted"] == 2


def test_cost_is_shown_and_kept(
    words: tuple[object, ...], capsys: pytest.CaptureFixture[str], run_json: Run, archive: Path
) -> None:
    """A run prints its cost; later runs and reports without a price keep the price."""
    assert main([*map(str, words), "--price-per-second", "0.05"]) == 0
    out = capsys.readouterr().out
    again = run_json(*words)
    assert main(["report", str(archive)]) == 0
    page = (archive / "productions/test-board/report.html").read_text(encoding="utf-8")

    assert "2 made. This run submitted 8 s of video, at a cost of 0.40." in out
    assert (again["price_per_second"], again["cost"]) == ("0.05", "0")
    assert "Cost at 0.05 a second</dt><dd>0.40</dd>" in page


def test_author_finds_clips_by_name(
    archive: Path, tmp_path: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clips have their names after each edit, in archive, ledger and export, and no clip is bought twice."""
    board, names = tmp_path / "board.yaml", archive / "productions/board/clips"
    words = ("produce", board, "--archive", archive, *_POLLS, "--film")
    found = []

    for clips in (
        "[{name: bell, prompt: a bell rings}, {name: sea, prompt: waves break}]",
        "[{name: sea, prompt: waves break}, {name: gong, prompt: a gong sounds}]",
    ):
        board.write_text(f"defaults: {{resolution: 480p}}\nclips: {clips}", encoding="utf-8")
        assert main(list(map(str, words))) == 0
        found.append(sorted(path.name for path in names.iterdir()))
    capsys.readouterr()
    assert main(["ledger", str(archive)]) == 0
    ledger = capsys.readouterr().out
    assert main(["export", str(archive), "board", "--to", str(tmp_path / "to")]) == 0

    assert found == [["01 bell.mp4", "02 sea.mp4"], ["01 sea.mp4", "02 gong.mp4"]]
    assert "  no longer in board, 4 s, 480p, take 1, “a bell rings”\n" in ledger
    assert "  productions/board/clips/01 sea.mp4\n" in ledger
    assert sorted(path.name for path in (tmp_path / "to").glob("[!.]*")) == [*found[1], "board.mp4"]
    assert len(list(archive.glob("productions/board/film-*.mp4"))) == 1
    assert len(list(archive.glob("clips/*/clip-*.mp4"))) == sandbox.totals()["accepted"] == 3


@pytest.mark.parametrize(
    ("rule", "code", "expected"),
    [
        ({"kind": "generation", "fault": "fail", "code": "PROCESSING_TIMEOUT"}, 1, "--retry-failed"),
        ({"kind": "submit", "fault": "answer", "status": 401}, 2, "401"),
        ({"kind": "submit", "fault": "accept-then-drop"}, 3, "--unresolved"),
        ({"kind": "generation", "fault": "never-end"}, 4, "Continue:"),
    ],
    ids=["failed", "no account", "unresolved", "in flight"],
)
def test_exit_code_and_remedy(
    rule: Mapping[str, object],
    code: int,
    expected: str,
    words: tuple[object, ...],
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The exit code is the most urgent thing left to do, and the summary says how."""
    sandbox.faults(rule)

    assert main([*map(str, words), "--timeout", "5", "--deadline", "6"]) == code
    assert expected in capsys.readouterr().out


def test_setup_error_spends_nothing(
    words: tuple[object, ...], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, run_json: Run
) -> None:
    """Without a key the command ends with exit code 2 before anything is submitted."""
    monkeypatch.setenv("SEEDANCE_API_KEY", "")

    error = run_json(*words, code=2)["error"]

    assert error["kind"] == "SetupError"
    assert "There is no API key" in error["message"]
    assert sandbox.totals()["submits_received"] == 0


def test_shows_unstored_manifest(
    words: tuple[object, ...], archive: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the manifest cannot be stored, the command still shows it."""
    (archive / "productions/test-board/manifest.json/in-its-way").mkdir(parents=True)

    assert main([*map(str, words), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["exit_code"] == 0
    assert sandbox.totals()["accepted"] == 2


def test_user_settings_take_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's logging is configured only where the user has not done so."""
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "true")
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO")

    configure_logs(verbose=False)

    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "true"
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "INFO"


def test_verbose_shows_requests(
    words: tuple[object, ...],
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --verbose, each request is a line with its status, and a repeated one has the reason."""
    log = logging.getLogger("prefect_seedance")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "level", log.level)
    sandbox.faults({"kind": "submit", "fault": "answer", "status": 429, "times": 1})

    assert main([*map(str, words), "--verbose"]) == 0

    error = capsys.readouterr().err
    assert re.search(r"^\d\d:\d\d:\d\d  POST http://\S+: 200 after \d\.\d s$", error, re.MULTILINE)
    assert re.search(r"429: .*; again in \d+\.\d s$", error, re.MULTILINE)
    assert sandbox.key not in error
