"""Whether a stored report still shows a production."""

from datetime import timedelta
from decimal import Decimal

import pytest

from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.report.recipe import find_report, recipe
from prefect_seedance.report.render import render_report
from prefect_seedance.storage.store import Store
from tests.records import NOW
from tests.reports import failed, made, manifest_of


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    """Return an empty archive."""
    return Store.open(f"memory://{request.node.nodeid}")


async def _production(store: Store) -> Manifest:
    return manifest_of(await made(store, 1), await failed(store, 2, reason="no"))


async def test_reuse_changes_nothing(store: Store) -> None:
    """A run that only reuses the clips finds the page of the run that made them."""
    manifest = await _production(store)
    times = {"asked_at": NOW, "ended_at": NOW, "expires_at": NOW + timedelta(days=15)}
    first = manifest.clips[0].model_copy(update={**times, "attempt": 1})
    manifest = manifest.model_copy(update={"clips": (first, manifest.clips[1])})
    written = await render_report(manifest, store)
    unknown = dict.fromkeys((*times, "attempt"))
    reused = first.model_copy(update={**unknown, "status": ClipStatus.reused, "billed_seconds": 0})

    run = FlowRunRef(name="again", id="8", url="https://ui.example/8")
    again = manifest.model_copy(update={"clips": (reused, manifest.clips[1]), "flow_run": run})

    assert await find_report(store, again, price_per_second=None) == written


@pytest.mark.parametrize(
    "change",
    [{"title": "Another"}, {"clips": ()}, {"film_reason": "the disk is full"}, {"archive": "s3://moved"}],
    ids="".join,
)
async def test_changes_are_shown(store: Store, change: dict[str, object]) -> None:
    """A page is not kept if the production has changed."""
    manifest = await _production(store)
    await render_report(manifest, store)

    assert await find_report(store, manifest.model_copy(update=change), price_per_second=None) is None


async def test_price_is_shown(store: Store) -> None:
    """Another price leads to another page, and so does a clip that failed."""
    manifest = await _production(store)
    lost = manifest.clips[0].model_copy(update={"status": ClipStatus.failed})

    free = recipe(manifest, records=(), price_per_second=None)
    assert free != recipe(manifest, records=(), price_per_second=Decimal(1))
    others = manifest.model_copy(update={"clips": (lost, manifest.clips[1])})
    assert free != recipe(others, records=(), price_per_second=None)


async def test_late_records_are_shown(store: Store) -> None:
    """A page is not kept once an attempt at one of its clips has another record."""
    manifest = await _production(store)
    await render_report(manifest, store)
    await store.create(f"clips/{manifest.clips[1].fingerprint}/attempt-007/no-answer.json", b"{}")

    assert await find_report(store, manifest, price_per_second=None) is None


async def test_damaged_record_is_ignored(store: Store) -> None:
    """A record that cannot be read, or whose page is gone, keeps no page."""
    manifest = await _production(store)
    assert await find_report(store, manifest, price_per_second=None) is None
    written = await render_report(manifest, store)
    await store.put(written.key, b"cut off")

    assert await find_report(store, manifest, price_per_second=None) is None
    await store.put("productions/film/report.json", b"{")
    assert await find_report(store, manifest, price_per_second=None) is None
