"""Exit codes."""

import pytest

from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import DeadlineError
from prefect_seedance.report.manifest import Entry
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storyboard.plan import PlannedClip
from tests.records import manifest_of


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_code(verdict: Verdict) -> None:
    """Each verdict on a production has an exit code of the same name."""
    assert verdict.name in ExitCode.__members__


@pytest.mark.parametrize(
    ("others", "code"),
    [
        pytest.param([], ExitCode.failed, id="alone"),
        pytest.param([ClipStatus.in_flight], ExitCode.failed, id="others in flight"),
        pytest.param([ClipStatus.unresolved], ExitCode.unresolved, id="one unresolved"),
    ],
)
def test_paid_and_not_archived_fails(
    others: list[ClipStatus], code: ExitCode, clips: tuple[PlannedClip, ...]
) -> None:
    """A clip that is paid and not archived exits with 1, even at the deadline, unless one is unresolved."""
    statuses = [ClipStatus.not_archived, *others]
    late = [Entry.of(clips[0], status, error=DeadlineError("late")) for status in statuses]

    assert ExitCode[manifest_of(*late).verdict.name] is code


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
