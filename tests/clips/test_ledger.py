import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipInput, GenerateRequest, Generation
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Outcome, Result
from prefect_seedance.errors import ContentRejectedError, FailKind, SetupError, UnreadableRecordError
from prefect_seedance.storage.backends import Backend
from prefect_seedance.storage.store import Store

NOW = datetime.now(UTC)
FAILED = Outcome(result=Result.failed, ended_at=NOW, kind=FailKind.transient, code="GENERATION_FAILED")
REFUSED = Outcome.of_refusal(ContentRejectedError("No."), kind=FailKind.content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"memory://{tmp_path}")


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


def intent(number: int = 1, **changed: object) -> Intent:
    fields: dict[str, object] = {
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
    return Intent.model_validate(fields | changed)


async def begun(ledger: Ledger, number: int = 1) -> Attempt:
    attempt = await ledger.claim(intent(number))
    assert attempt
    return attempt


async def test_claims_by_an_intent(ledger: Ledger, store: Store) -> None:
    """A claim is a record of the request and of the run that submits it."""
    attempt = await begun(ledger)

    record = json.loads(await store.read("clips/f00d/attempt-001/intent.json") or b"")
    assert (record["name"], record["asked_by"]) == ("dawn → noon", "host process 7")
    assert record["request"]["input"]["prompt"] == "waves"
    assert attempt.undecided
    assert attempt.generation_id == ""


async def test_first_claim_wins(store: Store) -> None:
    """Of fifty concurrent claims of one attempt, each through its own ledger, one succeeds."""
    claims = await asyncio.gather(
        *[Ledger(store).claim(intent(asked_by=f"process {number}")) for number in range(50)]
    )

    (winner,) = filter(None, claims)
    (recorded,) = await Ledger(store).attempts("f00d")
    assert recorded == winner


async def test_reads_what_was_recorded(ledger: Ledger) -> None:
    """Every record is read back, step by step."""
    attempt = await begun(ledger)
    assert await ledger.attempts("f00d") == (attempt,)

    accepted = await ledger.accept(attempt, "task_1")
    assert await ledger.attempts("f00d") == (accepted,)
    assert (accepted.generation_id, accepted.undecided) == ("task_1", False)

    ended = await ledger.conclude(accepted, FAILED)
    assert await ledger.attempts("f00d") == (ended,)
    assert ended.outcome == FAILED


async def test_records_never_change(ledger: Ledger, store: Store) -> None:
    """A second record of the same kind is not written; the caller gets the first."""
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


async def test_first_acceptance_wins(ledger: Ledger) -> None:
    """Concurrent acceptances all return the one that was recorded."""
    attempt = await begun(ledger)

    accepted = await asyncio.gather(*[ledger.accept(attempt, f"task_{number}") for number in range(20)])

    assert len({each.generation_id for each in accepted}) == 1


async def test_sorts_attempts(ledger: Ledger) -> None:
    """Attempts are sorted by number, however many digits it has."""
    for number in (2, 1000, 10, 1, 999):
        await begun(ledger, number)

    attempts = await ledger.attempts("f00d")

    assert [attempt.intent.number for attempt in attempts] == [1, 2, 10, 999, 1000]


async def test_ignores_other_objects(ledger: Ledger, store: Store) -> None:
    """Other objects beside the records, or under another clip, are no attempts."""
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
    """Every clip that was submitted is listed once."""
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
async def test_reports_damaged_record(ledger: Ledger, store: Store, record: str, content: bytes) -> None:
    """A damaged record is not a missing one: the error names the record, the remedy and what it prevents."""
    await ledger.conclude(await ledger.accept(await begun(ledger), "task_1"), REFUSED)
    await store.put(f"clips/f00d/attempt-001/{record}.json", content)

    with pytest.raises(
        UnreadableRecordError, match=rf"/attempt-001/{record}\.json is missing or damaged; restore"
    ) as caught:
        await ledger.attempts("f00d")

    assert "\n" not in str(caught.value)
    assert "not submitted again" in str(caught.value)


async def test_reports_missing_intent(ledger: Ledger, store: Store) -> None:
    """An acceptance without an intent is an error, not an unclaimed attempt."""
    await store.create("clips/f00d/attempt-001/accepted.json", b"{}")

    with pytest.raises(UnreadableRecordError, match=r"/attempt-001/intent\.json is missing"):
        await ledger.attempts("f00d")


@pytest.mark.parametrize("field", ["asked_at", "settles_by"])
async def test_requires_time_zones(ledger: Ledger, store: Store, field: str) -> None:
    """A time without a zone cannot be compared, so its record counts as damaged."""
    record = json.loads(intent().model_dump_json()) | {field: "2026-11-22T13:00:00"}
    await store.create("clips/f00d/attempt-001/intent.json", json.dumps(record).encode())

    with pytest.raises(UnreadableRecordError, match="damaged"):
        await ledger.attempts("f00d")


async def test_reads_later_versions(ledger: Ledger, store: Store) -> None:
    """A record with fields of a later version can be read."""
    record = json.loads(intent().model_dump_json()) | {"budget": "12.00"}
    await store.create("clips/f00d/attempt-001/intent.json", json.dumps(record).encode())

    assert await ledger.attempts("f00d") == (Attempt(intent=intent()),)


async def test_keeps_every_outcome_field(ledger: Ledger) -> None:
    """The API's last status is read back as it was recorded."""
    outcome = Outcome.of_generation(
        Generation(
            generation_id="task_1",
            state="success",
            result_urls=("https://cdn.example/ü.mp4",),
            processing_seconds=48.25,
            answer={"new": [1, None]},
        ),
        model=DEFAULT_MODEL,
    )

    await ledger.conclude(await begun(ledger), outcome)

    (attempt,) = await ledger.attempts("f00d")
    assert attempt.outcome == outcome


@pytest.mark.parametrize("record", ["intent", "accepted", "outcome"])
async def test_bad_record_hides_no_other(ledger: Ledger, store: Store, record: str) -> None:
    """Beside a damaged record, the other attempts at its clip and all other clips are read."""
    good = await ledger.claim(intent(fingerprint="cafe"))
    first = await begun(ledger)
    await ledger.conclude(await ledger.accept(await begun(ledger, 2), "task_2"), REFUSED)
    await store.put(f"clips/f00d/attempt-002/{record}.json", b"{")

    attempts, unreadable = await ledger.readable_attempts("f00d")

    assert attempts == (first,)
    (error,) = unreadable
    assert f"attempt-002/{record}.json is missing or damaged" in str(error)
    assert await ledger.histories() == ((good,),)


async def test_reads_fields_within_fields(ledger: Ledger, store: Store) -> None:
    """Unknown fields of the request and its input do not make a claim unreadable."""
    record = json.loads(intent().model_dump_json())
    record["request"] |= {"priority": 7}
    record["request"]["input"] |= {"seed": 7, "mode": "omni_reference"}
    await store.create("clips/f00d/attempt-001/intent.json", json.dumps(record).encode())

    (attempt,) = await ledger.attempts("f00d")

    assert attempt.intent.request.body()["input"]["mode"] == "omni_reference"
    assert attempt.billed_seconds == 4


async def test_newer_record_needs_upgrade(ledger: Ledger, store: Store) -> None:
    """A record that only a newer version can read is not called damaged."""
    record = {"schema_version": 2, "budget": "12.00"}
    await store.create("clips/f00d/attempt-001/intent.json", json.dumps(record).encode())

    with pytest.raises(UnreadableRecordError, match="a newer version; upgrade prefect-seedance"):
        await ledger.attempts("f00d")


async def test_claims_readable_names_only(ledger: Ledger, store: Store) -> None:
    """A name that is not UTF-8 is refused with its remedy, and nothing is claimed."""
    unreadable = intent().model_copy(update={"name": "dawn \udcff"})

    with pytest.raises(SetupError, match=r"not recorded.*Check the names"):
        await ledger.claim(unreadable)

    assert await store.keys("clips/") == ()


class LaggingStore(Store):
    """A store that lists only the objects that existed before."""

    def __init__(self, url: str) -> None:
        super().__init__(Backend.open(url))
        self.listed: tuple[str, ...] = ()

    async def keys(self, prefix: str) -> tuple[str, ...]:
        return tuple(key for key in self.listed if key.startswith(prefix))


async def test_lagging_list_hides_no_claim(store: Store) -> None:
    """After a claim, won or lost, the attempt is known although the store does not list it yet."""
    rival = await begun(Ledger(store))
    lagging = Ledger(LaggingStore(store.url))

    assert await lagging.claim(intent(name="another")) is None
    second = await begun(lagging, 2)

    assert await lagging.attempts("f00d") == (rival, second)


async def test_lagging_list_hides_no_answer(ledger: Ledger, store: Store) -> None:
    """An answer is read although the store lists only the intent, lest the clip be bought again."""
    accepted = await ledger.accept(await begun(ledger), "task_1")
    lagging = LaggingStore(store.url)
    lagging.listed = ("clips/f00d/attempt-001/intent.json",)

    assert await Ledger(lagging).attempts("f00d") == (accepted,)
