import json
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipInput, ClipSettings, GenerateRequest, Generation, parse_envelope
from prefect_seedance.clips.records import (
    NO_RESULT,
    Acceptance,
    Attempt,
    Intent,
    Outcome,
    Result,
    clip_prefix,
    parse_record,
    serialize_record,
)
from prefect_seedance.errors import (
    ConnectionFailedError,
    ContentRejectedError,
    FailKind,
    SetupError,
    UnreadableRecordError,
)
from prefect_seedance.storyboard.plan import PlannedClip
from tests.records import archived_clip

NOW = datetime.now(UTC)
REFUSED = Outcome.of_refusal(ContentRejectedError("No."), kind=FailKind.content)
SUCCESS = Outcome(result=Result.success, ended_at=NOW)
FAILED = Outcome(result=Result.failed, ended_at=NOW)
LOST = Outcome.of_loss(resolved_by="a person")


def intent(number: int = 1, *, asked_at: datetime = NOW, settles_by: datetime = NOW) -> Intent:
    return Intent(
        fingerprint="f00d",
        number=number,
        name="dawn → noon",
        production="Lighthouse",
        model=DEFAULT_MODEL,
        base_url="https://api.apixo.ai",
        request=GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves", duration=8)),
        asked_by="host process 7",
        asked_at=asked_at,
        settles_by=settles_by,
    )


@pytest.mark.parametrize(
    ("settles_in", "at_least", "at_most"), [(120, 100, 120), (-1, 0, 0)], ids=["may still answer", "over"]
)
def test_settling_time_counts_down(settles_in: float, at_least: float, at_most: float) -> None:
    """The time in which a run may still record an answer counts down to zero."""
    attempt = Attempt(intent=intent(settles_by=datetime.now(UTC) + timedelta(seconds=settles_in)))

    assert at_least <= attempt.settling_seconds <= at_most


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=1)], ids=["an hour", "a day"])
def test_settling_time_survives_clock_skew(ahead: timedelta) -> None:
    """If the clock of the run was ahead, the wait is never longer than the time that the run allowed."""
    asked_at = datetime.now(UTC) + ahead
    attempt = Attempt(intent=intent(asked_at=asked_at, settles_by=asked_at + timedelta(seconds=150)))

    assert attempt.settling_seconds == 150


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(None, 8, id="in flight"),
        pytest.param(SUCCESS, 8, id="success"),
        pytest.param(FAILED, 8, id="failed"),
        pytest.param(LOST, 8, id="lost"),
        pytest.param(REFUSED, 0, id="not started"),
    ],
)
def test_bills_all_but_not_started(outcome: Outcome | None, expected: int) -> None:
    """Only a submission that certainly started nothing costs nothing."""
    assert Attempt(intent=intent(), outcome=outcome).billed_seconds == expected


def test_acceptance_overrules_loss() -> None:
    """An attempt that was declared lost and accepted after all has no outcome yet."""
    acceptance = Acceptance(generation_id="task_1", accepted_at=NOW)

    assert Attempt.of(intent(), acceptance, LOST).outcome is None
    assert Attempt.of(intent(), acceptance, FAILED).outcome == FAILED
    assert Attempt.of(intent(), None, LOST).outcome == LOST


def test_keys_follow_design() -> None:
    """The keys are those that the documentation names."""
    assert clip_prefix("f00d") == "clips/f00d/"
    assert Attempt(intent=intent(7)).key == "clips/f00d/attempt-007/"


def ended(state: str = "success", **fields: object) -> Generation:
    return Generation.model_validate({"generation_id": "task_1", "state": state, **fields})


def test_success_expires() -> None:
    """The URLs of a success expire fifteen days after its end."""
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
    """Without a time from the API, a generation ended when its status was read."""
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
    """A failure keeps the API's code and message, and has a kind that decides about a retry."""
    outcome = Outcome.of_generation(ended("failed", fail_code=code, fail_message="No."), model=DEFAULT_MODEL)

    assert (outcome.result, outcome.kind, outcome.code, outcome.message) == (Result.failed, kind, code, "No.")
    assert outcome.expires_at is None


def test_unexplained_failure_is_final() -> None:
    """A failure without a code is of an unknown kind."""
    outcome = Outcome.of_generation(ended("failed"), model=DEFAULT_MODEL)

    assert (outcome.result, outcome.kind, outcome.code) == (Result.failed, FailKind.unknown, "UNKNOWN")


def test_failure_wins_over_urls() -> None:
    """A generation that failed has no result, even if its status has a URL."""
    generation = ended("failed", fail_code="NSFW", result_urls=("https://cdn.example/1.mp4",))

    outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)

    assert (outcome.result, outcome.result_urls) == (Result.failed, ())


def test_success_needs_a_url() -> None:
    """A success without a URL is a paid failure, and the raw answer is kept."""
    generation = ended(answer={"state": "success", "resultJson": "lost?"})

    outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)

    assert (outcome.result, outcome.kind, outcome.code) == (Result.failed, FailKind.unknown, NO_RESULT)
    assert "may have billed" in (outcome.message or "")
    assert outcome.generation == generation


MISSING = Outcome.of_generation(ended(), model=DEFAULT_MODEL)


def dated(days: float, **changes: object) -> Outcome:
    """Return an outcome without a result that was recorded so many days ago."""
    lapse = timedelta(days=days)
    assert MISSING.expires_at
    times = {"ended_at": MISSING.ended_at - lapse, "expires_at": MISSING.expires_at - lapse}
    return MISSING.model_copy(update=times | changes)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(MISSING, True, id="now"),
        pytest.param(dated(14.9), True, id="within the lifetime"),
        pytest.param(dated(15.1), False, id="past the lifetime"),
        pytest.param(dated(14.9, expires_at=None), True, id="old record"),
        pytest.param(dated(15.1, expires_at=None), False, id="expired old record"),
        pytest.param(dated(0, ended_at=datetime.max.replace(tzinfo=UTC)), True, id="absurd time"),
        pytest.param(dated(0, ended_at=datetime.max.replace(tzinfo=UTC), expires_at=None), True, id="both"),
        pytest.param(Outcome.without_result("unknown", model=DEFAULT_MODEL), True, id="unknown generation"),
        pytest.param(FAILED, False, id="failed"),
        pytest.param(dated(0, code="UNKNOWN"), False, id="unexplained failure"),
        pytest.param(SUCCESS, False, id="success"),
        pytest.param(LOST, False, id="lost"),
        pytest.param(REFUSED, False, id="not started"),
    ],
)
def test_missing_result_may_be_reopened(outcome: Outcome, expected: bool) -> None:  # noqa: FBT001 -- a table's column
    """Only an outcome without a result can be reopened, as long as a video may still be served."""
    assert outcome.may_be_reopened is expected
    assert Outcome.model_validate_json(outcome.model_dump_json()).may_be_reopened is expected


def test_wrong_time_keeps_lifetime() -> None:
    """Without a result, the lifetime begins when the answer is read, whatever time the API reports."""
    outcome = Outcome.of_generation(ended(completed_at=datetime(1970, 1, 1, tzinfo=UTC)), model=DEFAULT_MODEL)

    assert outcome.may_be_reopened


def test_refusal_started_nothing() -> None:
    """A refused submission has another result than a failed generation."""
    assert (REFUSED.result, REFUSED.kind, REFUSED.code, REFUSED.message) == (
        Result.not_started, FailKind.content, "ContentRejectedError", "No.",
    )  # fmt: skip


CLIP = PlannedClip(
    name="bell", prompt="a bell rings", images=(), settings=ClipSettings(), number=1, fingerprint="f00d"
)
ENDED = Outcome.of_generation(
    ended(result_urls=("https://cdn.example/ü.mp4",), completed_at=NOW, answer={"new": [1, None]}),
    model=DEFAULT_MODEL,
)
RECORDS = [
    pytest.param(intent(), id="intent"),
    pytest.param(
        Acceptance(generation_id="task_1", accepted_at=NOW, resolved_by="a person"), id="acceptance"
    ),
    pytest.param(ENDED, id="success"),
    pytest.param(REFUSED, id="not started"),
    pytest.param(LOST, id="lost"),
    pytest.param(archived_clip(CLIP, findings=("is longer",)), id="clip"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Including halves of surrogate pairs, as Python reads from names that are not UTF-8."""

M = TypeVar("M", bound=BaseModel)


def read_back(kind: type[M], content: object) -> M:
    """Read a record as the ledger does."""
    stored = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_record(kind, stored, link="memory://a/record.json", remedy="restore it from a backup")


def data_of(record: BaseModel) -> Any:  # noqa: ANN401 -- JSON
    """Return the JSON data of a record."""
    return json.loads(serialize_record(record))


def widened(value: object, extra: dict[str, object]) -> object:
    """Return JSON data with more fields in every object, except in what the API answered."""
    if isinstance(value, list):
        return [widened(each, extra) for each in value]
    if not isinstance(value, dict):
        return value
    known = {key: each if key == "answer" else widened(each, extra) for key, each in value.items()}
    return {f"x_{key}": each for key, each in extra.items()} | known


@pytest.mark.parametrize("record", RECORDS)
@settings(max_examples=20)
@given(extra=st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_ignores_fields_at_any_depth(record: BaseModel, extra: dict[str, object]) -> None:
    """A record of a newer version, with more fields in every object, is read as if it had none of them."""
    assert read_back(type(record), widened(data_of(record), extra)) == record


@settings(max_examples=300)
@given(
    status=st.fixed_dictionaries(
        {},
        optional={
            "state": st.sampled_from(["success", "failed", "processing"]) | JSON,
            "resultJson": st.just('{"resultUrls": ["https://cdn.example/1.mp4"]}') | JSON,
            "failCode": st.just("NSFW") | JSON,
            "failMsg": JSON,
            "createTime": st.integers() | JSON,
            "completeTime": st.integers(0, 10**15) | JSON,
            "costTime": st.floats() | JSON,
        },
    ),
    depth=st.integers(1, 250),
)
def test_any_answer_reads_back(status: dict[str, object], depth: int) -> None:
    """Whatever the API answers, the outcome is read back as it was recorded, or the answer is refused."""
    deep = "[" * depth + "]" * depth
    body = json.dumps({"code": 200, "data": status | {"deep": "DEEP"}}).replace('"DEEP"', deep)

    envelope = parse_envelope(body.encode())

    assert envelope or depth > 150
    if envelope:
        generation = Generation.from_status(envelope.data, generation_id="task_1")
        outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)
        assert read_back(Outcome, serialize_record(outcome)) == outcome


@given(message=ANY_TEXT)
def test_any_refusal_reads_back(message: str) -> None:
    """Whatever an error says, the outcome is read back as it was recorded."""
    outcome = Outcome.of_refusal(ConnectionFailedError(message), kind=FailKind.transient)

    assert read_back(Outcome, serialize_record(outcome)) == outcome


@given(name=ANY_TEXT)
def test_intent_reads_back_or_is_refused(name: str) -> None:
    """An intent is read back as it was recorded, or it is refused: then its name is not valid UTF-8."""
    named = intent().model_copy(update={"name": name})
    is_valid = not any("\ud800" <= character <= "\udfff" for character in name)

    try:
        read = read_back(Intent, serialize_record(named))
    except SetupError as error:
        read, message = None, str(error)
        assert "invalid UTF-8" in message

    assert read == (named if is_valid else None)


@pytest.mark.parametrize(
    ("path", "choice"),
    [
        (["request", "input", "mode"], "omni_reference"),
        (["request", "input", "resolution"], "4k"),
        (["request", "provider"], "cheapest"),
        (["request", "request_type"], "webhook"),
        (["schema_version"], 7),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_accepts_choices_of_newer_versions(path: list[str], choice: object) -> None:
    """A choice that this version does not know is kept, and written again as it was read."""
    *parents, field = path
    content = inner = data_of(intent())
    for parent in parents:
        inner = inner[parent]
    inner[field] = choice

    read = read_back(Intent, content)

    assert data_of(read) == content


def test_authors_have_known_choices_only() -> None:
    """The leniency is for records: a request that is sent has no unknown field and no unknown choice."""
    written = data_of(intent())["request"]

    for changed in ({"provider": "cheapest"}, {"request_type": "callback"}, {"webhook": ""}):
        with pytest.raises(ValidationError):
            GenerateRequest.model_validate_json(json.dumps(written | changed))


def test_unknown_fail_kind_is_unknown() -> None:
    """A failure of a kind that this version does not know has the kind unknown."""
    assert read_back(Outcome, data_of(FAILED) | {"kind": "weather"}).kind is FailKind.unknown


def test_old_record_has_first_version() -> None:
    """A record without a version is of the first version."""
    content = data_of(intent())
    del content["schema_version"]

    assert read_back(Intent, content) == intent()


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (1, "is missing or damaged; restore it from a backup"),
        ("2", "is missing or damaged; restore it from a backup"),
        (2, "was written by a newer version; upgrade prefect-seedance to read it"),
    ],
)
def test_unreadable_record_has_remedy(version: object, remedy: str) -> None:
    """A record without a sane reading needs the version that wrote it if that is newer, or else a backup."""
    content = data_of(FAILED) | {"schema_version": version, "result": "refunded"}

    with pytest.raises(UnreadableRecordError) as caught:
        read_back(Outcome, content)

    assert str(caught.value) == f"The record memory://a/record.json {remedy}"


def test_unknown_model_has_outcome() -> None:
    """A generation of a model that this version does not know ends like any other."""
    generation = ended(result_urls=("https://cdn.example/1.mp4",), completed_at=NOW)

    outcome = Outcome.of_generation(generation, model="seedance-9")

    assert (outcome.result, outcome.expires_at) == (Result.success, NOW + timedelta(days=15))
