"""A short campaign; `make campaign` runs the full one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.breaking import RULES, Rule

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["tasks", "plain"])
def test_short_campaign(prefect_server: str, options: tuple[str, ...]) -> None:
    """Productions that are killed repeatedly under random faults pay once and lose nothing."""
    arguments = ("--clips", "40", "--kills", "6", "--workers", "2", "--seconds", "900")
    env = {**os.environ, "PREFECT_API_URL": prefect_server}

    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.campaign", *arguments, *options],
        cwd=_ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(run.stdout)
    assert (figures["duplicates"], figures["losses"], figures["violations"]) == (0, 0, 0)
    assert figures["clips"] >= 40
    assert figures["kills"] >= 6


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rules_can_be_broken(rule: Rule) -> None:
    """`benchmarks.breaking` finds the code of every rule that it breaks."""
    compile(rule.break_in(_ROOT), rule.module, "exec")
