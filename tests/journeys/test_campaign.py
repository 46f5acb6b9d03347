"""The short form of the campaign: `make campaign` is the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.breaking import RULES, Rule

_ROOT = Path(__file__).parents[2]


def test_campaign_in_short(prefect_server: str) -> None:
    """Killed again and again under random faults, productions pay once and lose nothing."""
    words = ("--clips", "40", "--kills", "6", "--workers", "2", "--seconds", "240")
    env = {**os.environ, "PREFECT_API_URL": prefect_server}

    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.campaign", *words],
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
    """`benchmarks.breaking` still finds what to break."""
    compile(rule.break_in(_ROOT), rule.module, "exec")
