"""Random answers, storyboards and videos lead to a value, or to an error of this package.

`make test` tries a few hundred of each in 20 s, always the same. `make fuzz` tries others for five minutes.
"""

import io
import json
import os
import struct
import tempfile
from collections.abc import Callable

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.responses import parse_response, submitted_id
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.record_format import parse_record, serialize_record
from prefect_seedance.clips.records import Outcome
from prefect_seedance.errors import IntegrityError, SeedanceError, StoryboardError
from prefect_seedance.printable import MAX_CHARACTERS, escape
from prefect_seedance.receiver.callback_body import find_generation_id
from prefect_seedance.storage.locations import Location
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.parser import parse_storyboard
from prefect_seedance.storyboard.plan import plan
from prefect_seedance.video.boxes import check_boxes
from prefect_seedance.video.decoding import _examination, _Job
from tests import films

FACTOR = int(os.environ.get("FUZZ_FACTOR", "1"))
"""How many times as many examples to try as in `make test`; above 1, they are other ones in each run."""


def fuzz(examples: int) -> settings:
    """Return the settings of a test that tries so many examples."""
    return settings(
        max_examples=examples * FACTOR, derandomize=FACTOR == 1, suppress_health_check=list(HealthCheck)
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["success", "failed", "pending", "\x1b[2J", "\u202e", "1e999", "https://results.example/1.mp4", "NSFW"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=12)
STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "taskId": VALUES,
        "state": st.sampled_from(["success", "failed"]) | VALUES,
        "resultJson": VALUES | st.builds(json.dumps, st.fixed_dictionaries({"resultUrls": VALUES})),
        "failCode": VALUES,
        "failMsg": VALUES,
        "createTime": VALUES,
        "completeTime": VALUES,
        "costTime": VALUES,
        "more": VALUES,
    },
)
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from([200, 400, 429, 500]) | VALUES,
        "message": VALUES,
        "data": VALUES | STATUSES,
    },
)


@given(
    status=st.sampled_from([200, 201, 302, 400, 401, 403, 404, 408, 429, 500, 503]),
    body=st.binary(max_size=60) | st.builds(lambda value: json.dumps(value).encode(), ENVELOPES | VALUES),
    retry_after=TEXT,
)
@fuzz(200)
@example(status=429, body=b"", retry_after="9" * 400)
def test_answers(status: int, body: bytes, retry_after: str) -> None:
    """Any answer is data or an error, whose message is a printable line."""
    request = httpx.Request("POST", "https://api.example", headers={"Authorization": "Bearer k-e-y"})
    headers = {b"Retry-After": retry_after.encode("utf-8", "replace")}
    try:
        submitted_id(parse_response(httpx.Response(status, headers=headers, content=body, request=request)))
    except SeedanceError as error:
        assert str(error) == escape(str(error))
        assert len(str(error)) < 3 * MAX_CHARACTERS
    find_generation_id(body)


@given(STATUSES)
@fuzz(150)
def test_statuses(data: dict[str, object]) -> None:
    """Any status has text of printable lines, and its outcome can be recorded and read back."""
    generation = Generation.from_status(json.loads(json.dumps(data)), generation_id="task_1")
    texts = [text for text in (generation.state, generation.fail_code, generation.fail_message) if text]

    assert all(text == escape(text) and len(text) <= MAX_CHARACTERS for text in texts)
    if generation.has_ended:
        outcome = Outcome.of_generation(generation, model=DEFAULT_MODEL)
        assert parse_record(Outcome, serialize_record(outcome), link="", remedy="") == outcome


FIELDS = st.sampled_from(
    ["title", "loop", "defaults", "shots", "clips", "prompt", "image", "images", "duration", "take"]
)
SHOTS = st.dictionaries(FIELDS, VALUES, max_size=4)
BOARDS = st.fixed_dictionaries(
    {},
    optional={"title": VALUES, "defaults": SHOTS | VALUES, "shots": st.lists(SHOTS | VALUES), "loop": VALUES},
) | st.fixed_dictionaries({"clips": st.lists(SHOTS | st.fixed_dictionaries({"prompt": TEXT}))})
DOCUMENTS = (
    st.builds(lambda board: yaml.safe_dump(board, allow_unicode=True).encode("utf-8", "replace"), BOARDS)
    | st.builds(lambda board: json.dumps(board).encode(), BOARDS)
    | st.binary(max_size=80)
    | st.text("&*!{}[]:-,|>'\"#%@`\t\n a1", max_size=60).map(str.encode)
)


def read_object(location: Location, _: Callable[[int], None]) -> bytes:
    raise StoryboardError(f"there is no {location}")


@given(DOCUMENTS)
@fuzz(150)
def test_storyboards(content: bytes) -> None:
    """Any storyboard is a plan, or an error whose lines are printable."""
    try:
        document = Document.parse(content, name="board.yaml")
        parsed = parse_storyboard(document, model=DEFAULT_MODEL, allow_outside=False, read_object=read_object)
        plan(parsed.clips, title=parsed.title)
    except SeedanceError as error:
        assert str(error) == escape(str(error), keep="\n")


CLIP = films.clip(1, frames=4)
WORDS = st.sampled_from([0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 60_000_000]) | st.integers(
    0, 2**32 - 1
)
KINDS = [
    b"ftyp",
    b"moov",
    b"trak",
    b"mdia",
    b"stsz",
    b"stts",
    b"stsc",
    b"stco",
    b"elst",
    b"stsd",
    b"mdhd",
    b"mdat",
]


@st.composite
def videos(draw: st.DrawFn) -> bytes:
    """Replace some numbers of boxes, or the types of some, or cut the file."""
    content = bytearray(CLIP)
    for _ in range(draw(st.integers(1, 4))):
        at = CLIP.index(draw(st.sampled_from(KINDS))) + draw(st.integers(-4, 24))
        word = struct.pack(">I", draw(WORDS)) if draw(st.booleans()) else draw(st.sampled_from(KINDS))
        content[at : at + 4] = word
    return bytes(content[: draw(st.integers(0, len(content))) if draw(st.booleans()) else None])


@given(videos())
@fuzz(100)
def test_videos(content: bytes) -> None:
    """Any change of a video's boxes leads to facts or to an IntegrityError, and ends no process of ours."""
    try:
        if content[4:8] == b"ftyp":
            check_boxes(io.BytesIO(content))
        with tempfile.TemporaryFile() as file:
            file.write(content)
            _Job(file, {"scan": True, "ends": True}, parse=_examination).run()
    except IntegrityError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=200))
@fuzz(150)
def test_boxes(content: bytes) -> None:
    """Any bytes pass the check or lead to an IntegrityError."""
    try:
        check_boxes(io.BytesIO(content))
    except IntegrityError as error:
        assert str(error).startswith("It is ")


@pytest.mark.parametrize("depth", [10, 1000, 100_000])
def test_deep_answers(depth: int) -> None:
    """An answer that is nested too deep is an error, not the end of the process."""
    body = b'{"code": 200, "data": ' + b"[" * depth + b"]" * depth + b"}"
    request = httpx.Request("GET", "https://api.example")

    with pytest.raises(SeedanceError):
        submitted_id(parse_response(httpx.Response(200, content=body, request=request)))
