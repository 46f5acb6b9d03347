"""Exit codes."""

import pytest

from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.report.verdict import Verdict


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_code(verdict: Verdict) -> None:
    """Each verdict on a production has an exit code of the same name."""
    assert verdict.name in ExitCode.__members__


def test_documented_codes_are_kept() -> None:
    """The codes that scripts rely on do not change."""
    assert {code.name: int(code) for code in ExitCode} == {
        "complete": 0,
        "failed": 1,
        "setup": 2,
        "unresolved": 3,
        "in_flight": 4,
        "interrupted": 130,
    }
