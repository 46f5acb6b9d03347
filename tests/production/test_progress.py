"""Progress for the caller."""

import logging

import pytest

from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.production.progress import Progress, ignore, notify
from prefect_seedance.storyboard.plan import PlannedClip

CLIP = PlannedClip(
    name="bell", prompt="a bell rings", images=(), settings=ClipSettings(), number=1, fingerprint="f" * 32
)


def test_callback_gets_progress() -> None:
    """The callback gets the step as it is."""
    seen: list[Progress] = []
    progress = Progress(CLIP, ClipStatus.in_flight, "processing")

    notify(seen.append, progress)
    notify(ignore, progress)

    assert seen == [progress]
    assert not seen[0].is_final


def test_faulty_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An error in the callback is logged with the clip, and does not stop the run."""

    def fail(_: Progress) -> None:
        raise ZeroDivisionError("by zero")

    with caplog.at_level(logging.ERROR):
        notify(fail, Progress(CLIP, ClipStatus.made))

    assert caplog.messages == ["on_progress failed for bell (made); the run continues"]
    assert "ZeroDivisionError" in caplog.text
