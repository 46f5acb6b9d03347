"""Storyboards of authors who may not spend the whole balance, or replace another production."""

import asyncio
import json
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.storage.store import Store

ACCOUNT = {"SEEDANCE_API_KEY": "key-of-a-test", "SEEDANCE_BASE_URL": "http://127.0.0.1:9"}
"""Port 9 discards: a submission would fail, and end with another exit code."""


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


def write(folder: Path, *, title: str, clips: int = 1) -> Path:
    """Write a list of different clips of 4 s."""
    path = folder / "clips.yaml"
    prompts = "".join(f"- prompt: wave {number}\n" for number in range(clips))
    path.write_text(f"title: {json.dumps(title)}\nclips:\n{prompts}", encoding="utf-8")
    return path


def put(archive: Path, *, title: str, name: str) -> None:
    """Store the manifest of an earlier production."""
    content = json.dumps({"title": title}).encode()
    asyncio.run(Store.open(str(archive)).put(f"productions/{name}/manifest.json", content))


LIMITS = [
    pytest.param(8000, [], "32,000 s of video, more than its limit of 1,200 s", id="8,000 clips"),
    pytest.param(301, [], "1,204 s of video, more than its limit of 1,200 s", id="one clip too many"),
    pytest.param(2, ["--max-seconds", "7"], "8 s of video, more than its limit of 7 s", id="own limit"),
    pytest.param(1, ["--max-seconds", "0"], "4 s of video, more than its limit of 0 s", id="no purchase"),
]


@pytest.mark.parametrize("command", ["plan", "produce"])
@pytest.mark.parametrize(("clips", "options", "line"), LIMITS)
def test_large_purchase_is_refused(
    command: str,
    clips: int,
    options: list[str],
    line: str,
    *,
    tmp_path: Path,
    archive: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run that would buy more than its limit sends nothing, stores nothing, and names the remedy."""
    board = write(tmp_path, title="Waves", clips=clips)

    code = main([command, str(board), "--archive", str(archive), *options])

    output = "".join(capsys.readouterr())
    assert code == 2
    assert line in output
    assert f"--max-seconds {4 * clips}" in output
    assert not list(archive.iterdir())


@pytest.mark.parametrize(
    ("clips", "options"), [(300, []), (301, ["--max-seconds", "1204"])], ids=["at the limit", "approved"]
)
def test_permitted_purchase_is_planned(
    clips: int, options: list[str], *, tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run may buy as much as its limit."""
    board = write(tmp_path, title="Waves", clips=clips)

    assert main(["plan", str(board), "--archive", str(archive), *options]) == 0
    assert f"{4 * clips:,} s of video would be billed." in capsys.readouterr().out


TITLES = [
    pytest.param("Season 1: Ep. 2", id="other punctuation"),
    pytest.param("SEASON 1 EP 2!", id="other case"),
    pytest.param("Se\u0301ason 1 / Ep 2", id="accent"),
    pytest.param("season_1_ep_2", id="as a file name"),
]


@pytest.mark.parametrize("command", ["plan", "produce"])
@pytest.mark.parametrize("title", TITLES)
def test_other_production_is_not_replaced(
    command: str, title: str, *, tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A title whose name in keys is another production's is refused, with the remedy."""
    put(archive, title="Season 1 / Ep 2", name="season-1-ep-2")

    code = main([command, str(write(tmp_path, title=title)), "--archive", str(archive)])

    output = " ".join("".join(capsys.readouterr()).split())
    assert code == 2
    assert "would replace the production 'Season 1 / Ep 2'" in output
    assert "Give this one another --name, or continue that one with --name season-1-ep-2" in output
    assert [path.name for path in archive.iterdir()] == ["productions"]


@pytest.mark.parametrize(
    ("title", "options"),
    [
        ("Season 1 / Ep 2", []),
        ("season 1 / EP 2", []),
        ("Season 1: Ep. 2", ["--name", "season-1-ep-2"]),
        ("Season 1: Ep. 2", ["--name", "season-1-episode-2"]),
    ],
    ids=["same title", "other case", "continued", "own name"],
)
def test_own_production_continues(
    title: str, options: list[str], *, tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same title continues its production, and so does an explicit name."""
    put(archive, title="Season 1 / Ep 2", name="season-1-ep-2")

    assert main(["plan", str(write(tmp_path, title=title)), "--archive", str(archive), *options]) == 0
    assert "refuse" not in capsys.readouterr().out
