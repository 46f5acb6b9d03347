import json
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipSettings, GenerateRequest, Generation, parse_envelope
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.record_format import parse_record, serialize_record
from prefect_seedance.clips.records import Acceptance, Intent, Outcome, Result
from prefect_seedance.errors import (
    ConnectionFailedError,
    ContentRejectedError,
    FailKind,
    SetupError,
    UnreadableRecordError,
)
from prefect_seedance.storyboard.plan import PlannedClip
from tests.records import archived_clip, intent_of

NOW = datetime.now(UTC)
REFUSED = Outcome.of_refusal(ContentRejectedError("No."), kind=FailKind.content)
FAILED = Outcome(result=Result.failed, ended_at=NOW)
LOST = Outcome.of_loss(resolved_by="a person")
CLIP = PlannedClip(
    name="bell", prompt="a bell rings", images=(), settings=ClipSettings(), number=1, fingerprint="f00d"
)
INTENT = intent_of(CLIP)
ENDED = Outcome.of_generation(
    Generation(
        generation_id="task_1",
        state="success",
        result_urls=("https://cdn.example/ü.mp4",),
        completed_at=NOW,
        answer={"new": [1, None]},
    ),
    model=DEFAULT_MODEL,
)
RECORDS = [
    pytest.param(INTENT, id="intent"),
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
    named = INTENT.model_copy(update={"name": name})
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
    content = inner = data_of(INTENT)
    for parent in parents:
        inner = inner[parent]
    inner[field] = choice

    read = read_back(Intent, content)

    assert data_of(read) == content


def test_authors_have_known_choices_only() -> None:
    """The leniency is for records: a request that is sent has no unknown field and no unknown choice."""
    written = data_of(INTENT)["request"]

    for changed in ({"provider": "cheapest"}, {"request_type": "callback"}, {"webhook": ""}):
        with pytest.raises(ValidationError):
            GenerateRequest.model_validate_json(json.dumps(written | changed))


def test_unknown_fail_kind_is_unknown() -> None:
    """A failure of a kind that this version does not know has the kind unknown."""
    assert read_back(Outcome, data_of(FAILED) | {"kind": "weather"}).kind is FailKind.unknown


@pytest.mark.parametrize(
    ("stored", "run"),
    [
        ({}, FlowRunRef()),
        (
            {"id": "7", "url": "https://ui.example/7", "attempt": 2},
            FlowRunRef(id="7", url="https://ui.example/7"),
        ),
        (None, None),
    ],
    ids=["empty", "of a newer version", "outside of Prefect"],
)
def test_flow_run_is_read_leniently(stored: object, run: FlowRunRef | None) -> None:
    """No version's record of a flow run makes an intent unreadable."""
    assert read_back(Intent, data_of(INTENT) | {"flow_run": stored}).flow_run == run


def test_old_record_has_first_version() -> None:
    """A record without a version is of the first version."""
    content = data_of(INTENT)
    del content["schema_version"]

    assert read_back(Intent, content) == INTENT


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
