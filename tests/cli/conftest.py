"""Fixtures for tests of the command line."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.cli import main
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import PlannedClip

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def clips(board: Path) -> tuple[PlannedClip, ...]:
    """Return the two clips of the storyboard."""
    parsed = asyncio.run(load_storyboard(board))
    return planning.plan(parsed.clips, title=parsed.title).clips


@pytest.fixture
def run_json(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command with --json, and returns the object that it prints."""

    def run(*words: object, code: int = 0) -> dict[str, Any]:
        assert main([*map(str, words), "--json"]) == code
        return dict(json.loads(capsys.readouterr().out))

    return run
