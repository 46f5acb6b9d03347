import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipInput, GenerateRequest, Generation
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Outcome, Result, clip_prefix
from prefect_seedance.errors import ArchiveError, ContentRejectedError, FailKind
from prefect_seedance.storage.store import Store

NOW = datetime.now(UTC)
REFUSED = Outcome.of_refusal(ContentRejectedError("No."), kind=FailKind.content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"memory://{tmp_path}")


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


def intent(number: int = 1, **changed: Any) -> Intent:  # noqa: ANN401 -- passed on
    return Intent(
        **{
            "fingerprint": "f00d",
            "number": number,
            "name": "dawn → noon",
            "production": "Lighthouse",
            "model": DEFAULT_MODEL,
            "base_url": "https://api.apixo.ai",
            "request": GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves")),
            "asked_by": "host process 7",
            "asked_at": NOW,
            "settles_by": NOW + timedelta(minutes=2),
        }
        | changed
    )


async def begun(ledger: Ledger, number: int = 1) -> Attempt:
    attempt = await ledger.claim(intent(number))
    assert attempt
    return attempt


async def test_claims_by_an_intent(ledger: Ledger, store: Store) -> None:
    """A claim is a record that tells a person what is about to be asked, and by whom."""
    attempt = await begun(ledger)

    record = json.loads(await store.read("clips/f00d/attempt-001/intent.json") or b"")
    assert (record["name"], record["asked_by"]) == ("dawn → noon", "host process 7")
    assert record["request"]["input"]["prompt"] == "waves"
    assert attempt.undecided
    assert attempt.generation_id == ""


async def test_first_claim_wins(store: Store) -> None:
    """Of fifty who claim one attempt at once, each with a ledger of their own, one may submit."""
    claims = await asyncio.gather(
        *[Ledger(store).claim(intent(asked_by=f"process {number}")) for number in range(50)]
    )

    (winner,) = filter(None, claims)
    (recorded,) = await Ledger(store).attempts("f00d")
    assert recorded == winner


async def test_tells_the_whole_story(ledger: Ledger) -> None:
    """What was recorded is what is read, step by step."""
    attempt = await begun(ledger)
    assert await ledger.attempts("f00d") == (attempt,)

    accepted = await ledger.accept(attempt, "task_1")
    assert await ledger.attempts("f00d") == (accepted,)
    assert (accepted.generation_id, accepted.undecided) == ("task_1", False)

    ended = await ledger.conclude(accepted, REFUSED)
    assert await ledger.attempts("f00d") == (ended,)
    assert ended.outcome == REFUSED


async def test_records_never_change(ledger: Ledger, store: Store) -> None:
    """A second word about anything is not written; who brings it is told the first."""
    attempt = await begun(ledger)
    await ledger.accept(attempt, "task_1")
    await ledger.conclude(attempt, REFUSED)
    before = [await store.read(key) for key in await store.keys("clips/")]

    claimed = await ledger.claim(intent(name="another"))
    accepted = await ledger.accept(attempt, "task_2")
    concluded = await ledger.conclude(attempt, REFUSED.model_copy(update={"message": "Later."}))

    assert claimed is None
    assert accepted.generation_id == "task_1"
    assert concluded.outcome == REFUSED
    assert [await store.read(key) for key in await store.keys("clips/")] == before


async def test_one_acceptance_stands(ledger: Ledger) -> None:
    """Of answers that are recorded at once all who ask are told the same."""
    attempt = await begun(ledger)

    accepted = await asyncio.gather(*[ledger.accept(attempt, f"task_{number}") for number in range(20)])

    assert len({each.generation_id for each in accepted}) == 1


async def test_attempts_are_in_order(ledger: Ledger) -> None:
    """Attempts are read from the first to the last, however many there are."""
    for number in (2, 1000, 10, 1, 999):
        await begun(ledger, number)

    attempts = await ledger.attempts("f00d")

    assert [attempt.intent.number for attempt in attempts] == [1, 2, 10, 999, 1000]


async def test_other_objects_are_no_attempts(ledger: Ledger, store: Store) -> None:
    """What else lies beside the records, or under another clip, is not taken for one."""
    attempt = await begun(ledger)
    for key in (
        "f00d/clip.mp4",
        "f00d/clip.json",
        "f00d/attempt-001/note.txt",
        "f00d2/attempt-001/intent.json",
    ):
        await store.create(f"clips/{key}", b"{}")

    assert await ledger.attempts("f00d") == (attempt,)
    assert await ledger.attempts("f00") == ()


async def test_lists_every_clip(ledger: Ledger, store: Store) -> None:
    """Every clip that was asked for is listed once."""
    for fingerprint in ("b", "a"):
        attempt = await ledger.claim(intent(fingerprint=fingerprint))
        assert attempt
        await ledger.accept(attempt, "task_1")
    await store.create("productions/x/manifest.json", b"")

    assert await ledger.fingerprints() == ("a", "b")


@pytest.mark.parametrize("record", ["intent", "accepted", "outcome"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"{}", b"\xff", b'{"generation_id": 7}'],
    ids=["empty", "cut off", "null", "no fields", "not text", "wrong type"],
)
async def test_damage_is_told(ledger: Ledger, store: Store, record: str, content: bytes) -> None:
    """A damaged record is never taken for none: the error names it, the remedy and the danger."""
    await ledger.conclude(await ledger.accept(await begun(ledger), "task_1"), REFUSED)
    await store.put(f"clips/f00d/attempt-001/{record}.json", content)

    with pytest.raises(
        ArchiveError, match=rf"/attempt-001/{record}\.json is missing or damaged; restore"
    ) as caught:
        await ledger.attempts("f00d")

    assert "\n" not in str(caught.value)
    assert "bought again" in str(caught.value)


async def test_missing_intent_is_told(ledger: Ledger, store: Store) -> None:
    """An acceptance without its intent is damage, and not a free attempt."""
    await store.create("clips/f00d/attempt-001/accepted.json", b"{}")

    with pytest.raises(ArchiveError, match=r"/attempt-001/intent\.json is missing"):
        await ledger.attempts("f00d")


@pytest.mark.parametrize("field", ["asked_at", "settles_by"])
async def test_times_have_zones(ledger: Ledger, store: Store, field: str) -> None:
    """A time that somebody wrote without a zone is damage, for nobody can compare it."""
    record = json.loads(intent().model_dump_json()) | {field: "2026-11-22T13:00:00"}
    await store.create("clips/f00d/attempt-001/intent.json", json.dumps(record).encode())

    with pytest.raises(ArchiveError, match="damaged"):
        await ledger.attempts("f00d")


async def test_later_versions_are_understood(ledger: Ledger, store: Store) -> None:
    """Records in which a later version says more can be read by this one."""
    record = json.loads(intent().model_dump_json()) | {"budget": "12.00"}
    await store.create("clips/f00d/attempt-001/intent.json", json.dumps(record).encode())

    assert await ledger.attempts("f00d") == (Attempt(intent=intent()),)


@pytest.mark.parametrize(
    ("settles_in", "at_least", "at_most"), [(120, 100, 120), (-1, 0, 0)], ids=["may still answer", "over"]
)
def test_time_to_settle(settles_in: float, at_least: float, at_most: float) -> None:
    """How long an author may still be about to answer counts down to nothing."""
    attempt = Attempt(intent=intent(settles_by=datetime.now(UTC) + timedelta(seconds=settles_in)))

    assert at_least <= attempt.settling_seconds <= at_most


def test_keys_are_paths() -> None:
    """Where records lie can be told from the design's page."""
    assert clip_prefix("f00d") == "clips/f00d/"
    assert Attempt(intent=intent(7)).key == "clips/f00d/attempt-007/"


def ended(state: str = "success", **fields: Any) -> Generation:  # noqa: ANN401 -- passed on
    return Generation(generation_id="task_1", state=state, **fields)


def test_success_expires() -> None:
    """A success has URLs that are good for fifteen days from its end."""
    generation = ended(result_urls=("https://cdn.example/1.mp4",), completed_at=NOW)

    outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)

    assert outcome == Outcome(
        result=Result.success,
        ended_at=NOW,
        result_urls=("https://cdn.example/1.mp4",),
        expires_at=NOW + timedelta(days=15),
        generation=generation,
    )


def test_untimed_success_ended_now() -> None:
    """Where the API does not say when, the moment of asking counts."""
    before = datetime.now(UTC)

    outcome = Outcome.of_generation(ended(result_urls=("https://cdn.example/1.mp4",)), model=DEFAULT_MODEL)

    assert before <= outcome.ended_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NSFW", FailKind.content),
        ("INVALID_IMAGE_URL", FailKind.input),
        ("MODEL_UNAVAILABLE", FailKind.transient),
        ("INSUFFICIENT_CREDITS", FailKind.money),
        ("SomethingNew", FailKind.unknown),
    ],
)
def test_failure_has_a_kind(code: str, kind: FailKind) -> None:
    """A failure is kept verbatim, and sorted by what may be done about it."""
    outcome = Outcome.of_generation(ended("failed", fail_code=code, fail_message="No."), model=DEFAULT_MODEL)

    assert (outcome.result, outcome.kind, outcome.code, outcome.message) == (Result.failed, kind, code, "No.")
    assert outcome.expires_at is None


def test_unexplained_failure_is_final() -> None:
    """A failure without a code is of a kind that nobody knows."""
    outcome = Outcome.of_generation(ended("failed"), model=DEFAULT_MODEL)

    assert (outcome.result, outcome.kind, outcome.code) == (Result.failed, FailKind.unknown, "UNKNOWN")


def test_failure_wins_over_urls() -> None:
    """A generation that failed has no result, even if it names one."""
    generation = ended("failed", fail_code="NSFW", result_urls=("https://cdn.example/1.mp4",))

    outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)

    assert (outcome.result, outcome.result_urls) == (Result.failed, ())


def test_success_needs_a_url() -> None:
    """A success without a URL is a failure after payment, with the raw answer kept."""
    generation = ended(answer={"state": "success", "resultJson": "lost?"})

    outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)

    assert (outcome.result, outcome.kind, outcome.code) == (Result.failed, FailKind.unknown, "NO_RESULT")
    assert "may have billed" in (outcome.message or "")
    assert outcome.generation == generation


def test_refusal_started_nothing() -> None:
    """A submission that was refused is told from a generation that failed."""
    assert (REFUSED.result, REFUSED.kind, REFUSED.code, REFUSED.message) == (
        Result.not_started, FailKind.content, "ContentRejectedError", "No.",
    )  # fmt: skip


async def test_outcomes_survive_the_ledger(ledger: Ledger) -> None:
    """The API's last word is read back as it was recorded."""
    outcome = Outcome.of_generation(
        ended(
            result_urls=("https://cdn.example/ü.mp4",), processing_seconds=48.25, answer={"new": [1, None]}
        ),
        model=DEFAULT_MODEL,
    )

    await ledger.conclude(await begun(ledger), outcome)

    (attempt,) = await ledger.attempts("f00d")
    assert attempt.outcome == outcome
