"""What the last manifest saves."""

import pytest

from prefect_seedance.film.inspections import Seams, Similarity
from prefect_seedance.report.known_findings import KnownFindings
from prefect_seedance.storage.store import Store
from tests.reports import made, manifest_of


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    """Return an empty archive."""
    return Store.open(f"memory://{request.node.nodeid}")


SAME, UNKNOWN = Similarity(ssim=0.9), Similarity(reason="the image is missing")


@pytest.mark.parametrize(
    ("start", "images", "is_known"), [(SAME, 1, True), (None, 0, True), (None, 1, False), (UNKNOWN, 1, False)]
)
async def test_complete_inspections_are_known(
    store: Store, start: Similarity | None, images: int, *, is_known: bool
) -> None:
    """An inspection is known if the clip was compared with all of its images."""
    entry = (await made(store, 1)).model_copy(update={"seams": Seams(start=start)})
    assert entry.clip

    known = KnownFindings.of(manifest_of(entry)).inspection(entry.clip, images=images)

    assert (known is not None) is is_known
    assert known is None or known.inspection == entry.inspection


async def test_other_video_is_unknown(store: Store) -> None:
    """A clip whose video is another one is inspected, and so is any clip without a manifest."""
    entry = await made(store, 1)
    assert entry.clip
    other = entry.clip.model_copy(update={"sha256": "0" * 64})

    assert KnownFindings.of(manifest_of(entry)).inspection(other, images=0) is None
    assert KnownFindings.of(None).inspection(entry.clip, images=0) is None


async def test_compared_cuts_are_known(store: Store) -> None:
    """A cut is known by its two videos, unless it could not be compared."""
    first, second, third = [await made(store, number) for number in (1, 2, 3)]
    first = first.model_copy(update={"seams": Seams(next=SAME)})
    second = second.model_copy(update={"seams": Seams(next=UNKNOWN)})
    assert first.clip
    assert second.clip

    known = KnownFindings.of(manifest_of(first, second, third))

    assert known.following == {(first.clip.sha256, second.clip.sha256): SAME}
