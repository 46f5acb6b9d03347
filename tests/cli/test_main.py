"""The command as a whole: help, errors and start-up."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_seedance import __version__
from prefect_seedance.cli import app, main

COMMANDS = (
    "demo",
    "init",
    "plan",
    "produce",
    "film",
    "report",
    "open",
    "export",
    "ledger",
    "resolve",
    "rescue",
    "deploy",
    "callbacks",
    "serve-images",
    "sandbox",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command is listed and has a help page of its own."""
    assert main(["--help"]) == 0
    assert f" {command} " in capsys.readouterr().out

    assert main([command, "--help"]) == 0
    assert f"Usage: prefect-seedance {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["plam"], "Did you mean plan?", id="command"),
        pytest.param(["plan", "nowhere.yaml"], "nowhere.yaml: cannot be read", id="storyboard"),
        pytest.param(["ledger", "nowhere"], "There is no archive at nowhere", id="archive"),
    ],
)
def test_mistake_is_one_line(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake ends with exit code 2 and one line that names it; no result is printed."""
    assert main(words) == 2

    out, err = capsys.readouterr()
    assert expected in err
    assert err.startswith("prefect-seedance: ")
    assert err.count("\n") == 1
    assert not out or json.loads(out)["exit_code"] == 2


@pytest.mark.parametrize("words", [["-V"], ["--version"]])
def test_prints_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    assert main(words) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("words", [["help"], ["help", "plan"], ["help", "nowhere"]])
def test_help_is_a_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """``help plan`` is ``plan --help``."""
    assert main(words) == main([*words[1:], "--help"])

    halves = capsys.readouterr()
    printed = halves.out + halves.err
    assert printed[: len(printed) // 2] == printed[len(printed) // 2 :]


def test_former_name_of_option_works(capsys: pytest.CaptureFixture[str]) -> None:
    """An option that was renamed works, with a warning."""
    assert main(["produce", "board.yaml", "--archive", "films", "--first-look=soon"]) == 2

    error = capsys.readouterr().err
    assert error.startswith("prefect-seedance: warning: --first-look is now --first-poll\n")
    assert "--first-poll: write seconds" in error


def test_installs_completion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell completes commands and options once completion is installed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")

    assert main(["--install-completion", "--shell", "bash"]) == 0

    (script,) = [each for each in tmp_path.rglob("prefect-seedance*") if each.is_file()]
    assert "--archive" in script.read_text(encoding="utf-8")


def test_json_reports_error(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json an error is one object, and people still get its message."""
    assert main(["plan", "nowhere.yaml", "--json"]) == 2

    out, err = capsys.readouterr()
    printed = json.loads(out)
    assert printed["error"]["kind"] == "StoryboardError"
    assert printed["error"]["message"] in err
    assert printed["exit_code"] == 2


@pytest.fixture
def raising() -> Iterator[type[BaseException]]:
    """Add commands that raise an unexpected error, and one that is interrupted."""

    def crash(*, verbose: bool = False) -> int:  # noqa: ARG001  # an option of every long command
        raise ZeroDivisionError("by zero")

    def interrupt() -> int:
        raise KeyboardInterrupt

    app.command(crash, name="crash")
    app.command(interrupt, name="interrupt")
    yield ZeroDivisionError
    del app["crash"], app["interrupt"]


@pytest.mark.usefixtures("raising")
def test_bug_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected error is one line that says how to see the traceback; --verbose shows it."""
    assert main(["crash"]) == 1

    error = capsys.readouterr().err
    assert "ZeroDivisionError: by zero" in error
    assert "--verbose" in error
    assert "Traceback" not in error
    with pytest.raises(ZeroDivisionError):
        main(["crash", "--verbose"])


@pytest.mark.usefixtures("raising")
def test_interrupt_has_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that Ctrl-C stops before it began ends as shells expect."""
    assert main(["interrupt"]) == 130
    assert capsys.readouterr().err == "prefect-seedance: Stopped before anything was submitted\n"


def test_closed_pipe_is_no_error(board: Path) -> None:
    """If the reader of a pipe closes it early, as `head` does, nothing is printed to standard error."""
    program = f"from prefect_seedance.cli import main; main(['plan', {str(board)!r}])"
    reader, writer = os.pipe()
    os.close(reader)

    run = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )

    os.close(writer)
    assert run.stderr == ""


@pytest.mark.parametrize("words", [["--help"], ["plan", "{board}"], ["produce", "--help"]])
def test_does_not_load_prefect(words: list[str], board: Path) -> None:
    """Commands that do not need Prefect start without it."""
    words = [word.format(board=board) for word in words]
    program = f"import sys; from prefect_seedance.cli import main; main({words}); print(*sys.modules)"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "prefect_seedance.cli" in run.stdout.split()
    assert "prefect" not in run.stdout.split()


def test_plan_loads_no_decoder(board: Path) -> None:
    """A plan needs neither FFmpeg nor templates, so it starts without them."""
    words = ["plan", str(board)]
    program = f"import sys; from prefect_seedance.cli import main; main({words}); print(*sys.modules)"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not {"av", "jinja2"} & set(run.stdout.split())
