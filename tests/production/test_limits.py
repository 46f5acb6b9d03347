"""The limits of a run: how much it may buy, and whose folder it may use."""

import json
from pathlib import Path

import pytest

from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips.history import ClipHistory, ClipStatus, clip_histories
from prefect_seedance.options import RetryPolicy
from prefect_seedance.production.limits import other_owner, over_budget, seconds_to_buy
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import Plan, plan
from prefect_seedance.storyboard.schema import ClipRequest
from tests.records import FAILED, record_archived, record_outcome


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "archive"))


def planned(*prompts: str, title: str = "Harbour") -> Plan:
    """Plan clips of 4 s from text."""
    return plan(
        [ClipRequest(name=prompt, prompt=prompt, images=(), settings=ClipSettings()) for prompt in prompts],
        title=title,
    )


@pytest.mark.parametrize(
    ("retry", "seconds"), [(RetryPolicy(), 4), (RetryPolicy(retry_failed=True), 8)], ids=["once", "again"]
)
async def test_counts_purchases_only(retry: RetryPolicy, seconds: int, store: Store) -> None:
    """Archived clips, repeated clips, and failures that are not paid again do not count."""
    made, failed, *_ = (board := planned("gulls", "waves", "bells", "bells")).clips
    await record_archived(store, made)
    await record_outcome(store, failed, outcome=FAILED)
    known = await clip_histories(store, [clip.fingerprint for clip in board.distinct])

    assert seconds_to_buy(board, known, retry) == seconds


def test_limit_is_inclusive() -> None:
    """A run may buy exactly its limit, and not a second more."""
    refusal = over_budget(1201, max_seconds=1200)

    assert over_budget(1200, max_seconds=1200) is None
    assert refusal
    assert "1,201 s" in refusal
    assert "1,200 s" in refusal
    assert "budget=Budget(max_seconds=1201)" in refusal


OWNERS = [
    pytest.param("Season 1 / Ep 2", "Season 1: Ep. 2", False, True, id="another title"),
    pytest.param("Season 1 / Ep 2", "Season 1: Ep. 2", True, False, id="another title, named"),
    pytest.param("Season 1", "Season 1", False, False, id="same title"),
    pytest.param("Season 1", "SEASON  1", False, False, id="other case"),
    pytest.param("Caf\u00e9", "Cafe\u0301", False, False, id="other form of Unicode"),
    pytest.param("\ufb01lm", "film", False, False, id="ligature"),
]


@pytest.mark.parametrize("file", ["manifest.json", "storyboard.json"])
@pytest.mark.parametrize(("owner", "title", "is_named", "is_refused"), OWNERS)
async def test_folder_has_one_title(  # a table
    owner: str, title: str, *, is_named: bool, is_refused: bool, file: str, store: Store
) -> None:
    """A folder belongs to one title, however it is written; an explicit name continues it."""
    await store.put(f"productions/{planned(title=owner).name}/{file}", json.dumps({"title": owner}).encode())

    refusal = await other_owner(store, planned(title=title), is_named=is_named)

    assert bool(refusal) is is_refused
    assert refusal is None or "name='season-1-ep-2'" in refusal


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"title": 7}', b"[" * 100_000], ids=repr)
async def test_unreadable_manifest_refuses_nothing(content: bytes, store: Store) -> None:
    """A folder without a readable title is used as before."""
    await store.put("productions/harbour/manifest.json", content)

    assert await other_owner(store, planned(), is_named=False) is None


def test_new_clip_is_bought() -> None:
    """A clip without records is new."""
    assert ClipHistory().status is ClipStatus.new
    assert ClipHistory().is_bought(RetryPolicy())
