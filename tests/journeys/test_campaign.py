"""A short campaign; `make campaign` runs the full one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.breaking import RULES, Rule
from tests.processes import S3

_ROOT = Path(__file__).parents[2]


_SEED = "2269"
"""Of the first two productions, one is in a bucket and one has a receiver. Their first runs are suspended,
have a time limit and do not wait. If `benchmarks.campaign.chance` draws differently, choose another seed."""

_HAPPENED = ("in_buckets", "with_receiver", "callbacks", "edits", "no_wait", "pauses", "rescues")
"""Figures of what every campaign includes."""


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["tasks", "plain"])
def test_short_campaign(prefect_server: str, s3: S3, options: tuple[str, ...]) -> None:
    """Productions that are killed, suspended and edited under random faults pay once and lose nothing."""
    arguments = (
        "--clips",
        "40",
        "--kills",
        "4",
        "--workers",
        "2",
        "--seconds",
        "900",
        "--seed",
        _SEED,
        "--fork",
    )
    env = {**os.environ, "PREFECT_API_URL": prefect_server, "AWS_ENDPOINT_URL": s3.url}

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
    assert figures["kills"] >= 4
    assert [name for name in _HAPPENED if not figures[name]] == []
    assert bool(figures["time_limits"]) is not bool(options)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rules_can_be_broken(rule: Rule) -> None:
    """`benchmarks.breaking` finds the code of every rule that it breaks."""
    compile(rule.break_in(_ROOT), rule.module, "exec")
