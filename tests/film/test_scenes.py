"""The sections of a film in its record."""

import pytest

from prefect_seedance.film.scenes import Gap, Part


@pytest.mark.parametrize(("sha256", "is_slate"), [("a" * 64, False), (None, True)])
def test_part_without_video_is_slate(sha256: str | None, is_slate: bool) -> None:  # noqa: FBT001 -- from the table
    """A part without a video shows a slate."""
    part = Part(number=1, name="x", fingerprint="f", sha256=sha256, start_seconds=0, duration_seconds=4)

    assert part.is_slate is is_slate


def test_newer_fields_are_ignored() -> None:
    """A record of a newer version, with more fields, can be read."""
    gap = Gap(number=2, name="x", fingerprint="f", at_seconds=4, is_slated=True)

    assert Gap.model_validate({**gap.model_dump(), "newer": 1}) == gap
