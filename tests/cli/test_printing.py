"""Printing to terminals and pipes."""

import sys
from pathlib import Path

import pytest
from rich.text import Text

from prefect_seedance.cli.printing import command, count, elapsed, program, show, unbroken


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0:00"), (7, "0:07"), (59.99, "0:59"), (760, "12:40"), (3723, "1:02:03"), (36_000, "10:00:00")],
)
def test_elapsed_reads_like_a_clock(seconds: float, text: str) -> None:
    """A duration is formatted as minutes and seconds, with hours if there are any."""
    assert elapsed(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 clips"), (1, "1 clip"), (1000, "1,000 clips")])
def test_count_has_plural(number: int, text: str) -> None:
    """The noun is singular only after one."""
    assert count(number, "clip") == text


def test_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe no line is wrapped, and none ends with spaces."""
    show(Text("word " * 100), unbroken("/a/path" * 50), command("prefect-seedance plan"))

    words, path, line = capsys.readouterr().out.splitlines()
    assert words == ("word " * 100).rstrip()
    assert path == "/a/path" * 50
    assert line == "  prefect-seedance plan"


def test_program_can_be_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command to copy has the program's name if that is on PATH, else its path."""
    script = tmp_path / "bin/prefect-seedance"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])

    monkeypatch.setenv("PATH", str(script.parent))
    on_path = program()
    monkeypatch.setenv("PATH", "")
    elsewhere = program()
    monkeypatch.chdir(tmp_path)
    below = program()

    assert (on_path, elsewhere, below) == ("prefect-seedance", str(script), "bin/prefect-seedance")
