"""What the report reads of each clip from the archive."""

from datetime import timedelta

import pytest

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.records import Outcome, Result
from prefect_seedance.report.cards import Card, load_cards
from prefect_seedance.report.links import Links
from prefect_seedance.report.manifest import Entry
from prefect_seedance.storage.store import Store
from tests.reports import NOW, failed, made, manifest_of, submitted


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    """Return an empty archive."""
    return Store.open(f"memory://{request.node.nodeid}")


async def _load(store: Store, *entries: Entry) -> list[Card]:
    links = await Links.of(store, "productions/film/report.html")
    return list(await load_cards(manifest_of(*entries), store, links))


async def test_archived_clip(store: Store) -> None:
    """A card of an archived clip has its request, its times and a link to its video."""
    (card,) = await _load(store, await made(store, 1))

    submitted_at = NOW + timedelta(minutes=1)
    assert card.request
    assert card.request.prompt == "drifting clouds"
    assert card.span == (
        submitted_at,
        submitted_at + timedelta(seconds=50),
        submitted_at + timedelta(seconds=53),
    )
    assert card.video
    assert card.video.relative == f"../../clips/{1:032x}/clip-{1:012x}.mp4"


async def test_failed_clip(store: Store) -> None:
    """A card of a failed clip has all attempts, and the request of the last."""
    (card,) = await _load(store, await failed(store, 1, reason="NSFW", prompt="a bold prompt"))

    assert [attempt.intent.number for attempt in card.attempts] == [1, 2]
    assert card.attempt == card.attempts[1]
    assert card.request
    assert card.request.prompt == "a bold prompt"
    assert (card.billed_seconds, card.video) == (8, None)


async def test_never_submitted_clip(store: Store) -> None:
    """A clip without attempts has neither request nor times."""
    entry = Entry(number=1, name="first", fingerprint="f" * 32, status=ClipStatus.not_submitted)

    (card,) = await _load(store, entry)

    assert (card.attempt, card.request, card.span, card.billed_seconds) == (None, None, None, 0)


async def test_repeated_clip_is_billed_once(store: Store) -> None:
    """A clip that occurs twice is billed where it occurs first."""
    first = await made(store, 1)

    cards = await _load(store, first, first.model_copy(update={"number": 2}))

    assert [card.billed_seconds for card in cards] == [4, 0]


async def test_refused_clip_is_not_billed(store: Store) -> None:
    """An attempt that started nothing is not billed."""
    outcome = Outcome(result=Result.not_started, ended_at=NOW)
    fingerprint = await submitted(store, 1, prompt="clouds", outcome=outcome)
    entry = Entry(number=1, name="x", fingerprint=fingerprint, status=ClipStatus.not_submitted)

    (card,) = await _load(store, entry)

    assert card.billed_seconds == 0


async def test_remarks(store: Store) -> None:
    """Findings and intervals of an inspected clip are its remarks."""
    cards = await _load(store, await made(store, 1), await made(store, 2))

    assert [card.remarks for card in cards] == [
        [],
        ["has no sound, but sound was requested", "frozen from 1.0 to 2.5 s"],
    ]
