import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from prefect_seedance.api.clip_check import problems
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import (
    DEFAULT_BASE_URL,
    ClipInput,
    ClipSettings,
    Envelope,
    GenerateRequest,
    Generation,
    Provider,
    is_generation_id,
    parse_envelope,
)

_TEXT: dict[str, Any] = {"mode": "text-to-video", "prompt": "waves"}
_IMAGE: dict[str, Any] = _TEXT | {"mode": "image-to-video", "image_urls": ["https://i.example/1.png"]}


def _found(given: dict[str, Any], *, model: str = DEFAULT_MODEL) -> list[str]:
    """Return the names of the fields that the model would refuse."""
    return [problem.field for problem in problems(ClipInput.model_validate(given), model=model)]


@pytest.mark.parametrize(
    "given",
    [
        *({"duration": seconds} for seconds in (4, 8, 12)),
        *({"resolution": name} for name in ("480p", "720p")),
        *({"aspect_ratio": ratio} for ratio in ("1:1", "16:9", "9:16", "21:9", "3:4", "4:3")),
        *({"sound": on} for on in (True, False)),
        *({"fixed_lens": on} for on in (True, False)),
        {"prompt": "abc"},
        {"prompt": "x" * 2500},
        {"prompt": "🌊" * 2500},
    ],
    ids=lambda given: "{}={:.10}".format(*next((k, str(v)) for k, v in given.items())),
)
@pytest.mark.parametrize("mode", [_TEXT, _IMAGE], ids=["text", "image"])
def test_every_value_is_sent(given: dict[str, Any], mode: dict[str, Any]) -> None:
    """Every value of the contract is accepted, and sent unchanged."""
    body = GenerateRequest(input=ClipInput.model_validate(mode | given)).body()

    assert _found(mode | given) == []
    assert body["input"].items() >= (mode | given).items()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        *(({"duration": seconds}, "duration") for seconds in (-4, 0, 5, 13)),
        *(({"resolution": name}, "resolution") for name in ("", "1080p", "720P")),
        *(({"aspect_ratio": ratio}, "aspect_ratio") for ratio in ("", "2:1", "16x9")),
        *(({"prompt": text}, "prompt") for text in ("", "ab", "x" * 2501, "half a \ud83c")),
        ({"image_urls": ["https://i.example/1.png"]}, "image_urls"),
        ({"mode": "image-to-video"}, "image_urls"),
        ({"mode": "image-to-video", "image_urls": ["https://i.example"] * 3}, "image_urls"),
    ],
    ids=lambda value: f"{value!a:.40}",
)
def test_finds_refused_values(given: dict[str, Any], field: str) -> None:
    """A value that the model would refuse is found, with the name of its field."""
    assert _found(_TEXT | given) == [field]


@pytest.mark.parametrize("images", [1, 2])
def test_accepts_one_or_two_images(images: int) -> None:
    """Image-to-video accepts a start image, or a start and an end image."""
    assert _found(_IMAGE | {"image_urls": ["https://i.example/1.png"] * images}) == []


def test_finds_everything_at_once() -> None:
    """All invalid values are found at once, with the valid ones."""
    clip = ClipInput(
        mode="image-to-video", prompt="", duration=5, resolution="8K", aspect_ratio="5:4", image_urls=()
    )

    found = problems(clip, model=DEFAULT_MODEL)

    assert [f"{field} {message}" for field, message in found] == [
        "duration 5 is not offered; choose one of 4, 8, 12",
        "resolution '8K' is not offered; choose one of 480p, 720p",
        "aspect_ratio '5:4' is not offered; choose one of 1:1, 16:9, 9:16, 21:9, 3:4, 4:3",
        "prompt has 0 characters; the model accepts 3 to 2500",
        "image_urls has 0 images; image-to-video accepts 1 to 2",
    ]


def test_names_known_models() -> None:
    """An unknown model is refused, and the known ones are listed."""
    (problem,) = problems(ClipInput(**_TEXT), model="seedance-9")

    assert problem == (
        "model",
        "unknown model 'seedance-9'; known: seedance-1-5-pro, seedance-2-0, seedance-2-0-fast",
    )


@pytest.mark.parametrize(
    "given",
    [
        {"mode": "video-to-video"},
        {"mode": None},
        {"prompt": None},
        {"prompt": 7},
        {"duration": "4"},
        {"duration": 4.0},
        {"duration": True},
        {"resolution": 720},
        {"sound": "yes"},
        {"sound": 1},
        {"fixed_lens": 0},
        {"image_urls": "https://i.example/1.png"},
        {"image_urls": [7]},
        {"fixed_lense": True},
        {"seed": 7},
    ],
    ids=str,
)
def test_refuses_wrong_types(given: dict[str, Any]) -> None:
    """A wrong type or an unknown field is an error, and never converted."""
    with pytest.raises(ValidationError):
        ClipInput.model_validate(_TEXT | given)


def test_sends_every_setting() -> None:
    """A request does not depend on the API's defaults."""
    body = GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves")).body()

    assert body == {
        "request_type": "async",
        "provider": "auto",
        "input": {
            "mode": "text-to-video",
            "prompt": "waves",
            "duration": 4,
            "resolution": "720p",
            "aspect_ratio": "1:1",
            "sound": False,
            "fixed_lens": False,
        },
    }


@pytest.mark.parametrize("provider", ["auto", "value", "official"])
def test_sends_providers(provider: Provider) -> None:
    """The routing strategy is sent."""
    assert GenerateRequest(provider=provider, input=ClipInput(**_TEXT)).body()["provider"] == provider


def test_sends_callbacks() -> None:
    """The callback URL is sent with its request type."""
    request = GenerateRequest(
        request_type="callback", callback_url="https://hook.example/1", input=ClipInput(**_TEXT)
    )

    body = request.body()

    assert (body["request_type"], body["callback_url"]) == ("callback", "https://hook.example/1")


@pytest.mark.parametrize(
    "given",
    [
        {"provider": "cheapest"},
        {"provider": None},
        {"request_type": "sync"},
        {"request_type": "callback"},
        {"callback_url": "https://hook.example/1"},
        {"request_type": "async", "callback_url": "https://hook.example/1"},
        {"input": None},
        {"webhook": "https://hook.example/1"},
    ],
    ids=str,
)
def test_refuses_wrong_requests(given: dict[str, Any]) -> None:
    """A request that contradicts itself or the contract is an error."""
    with pytest.raises(ValidationError):
        GenerateRequest.model_validate({"input": _TEXT} | given)


def test_request_survives_the_ledger() -> None:
    """A request is unchanged after it was written as JSON and read back."""
    request = GenerateRequest(provider="value", input=ClipInput.model_validate(_IMAGE | {"sound": True}))

    assert GenerateRequest.model_validate_json(request.model_dump_json()) == request


def test_forms_offer_choices() -> None:
    """The schema offers exactly what any of the models accepts."""
    fields = ClipSettings.model_json_schema()["properties"]

    assert fields["duration"]["enum"] == list(range(4, 16))
    assert fields["resolution"]["enum"] == ["480p", "720p", "1080p"]
    assert fields["aspect_ratio"]["enum"] == ["1:1", "16:9", "9:16", "21:9", "3:4", "4:3", "auto"]


def test_pins_the_defaults() -> None:
    """The default host and model do not change by accident."""
    assert (DEFAULT_BASE_URL, DEFAULT_MODEL) == ("https://api.apixo.ai", "seedance-1-5-pro")


_DONE: dict[str, Any] = {
    "taskId": "task_1",
    "state": "success",
    "resultJson": '{"resultUrls": ["https://cdn.example/1.mp4"]}',
    "createTime": 1_760_000_000_000,
    "completeTime": 1_760_000_050_500,
    "costTime": 48_250,
}


def _generation(**changed: object) -> Generation:
    return Generation.from_status(_DONE | changed, generation_id="task_1")


def test_parses_success() -> None:
    """Every documented field of a finished generation is parsed."""
    generation = _generation()

    assert generation == Generation(
        generation_id="task_1",
        state="success",
        result_urls=("https://cdn.example/1.mp4",),
        created_at=datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC),
        completed_at=datetime(2025, 10, 9, 8, 54, 10, 500_000, tzinfo=UTC),
        processing_seconds=48.25,
        answer=_DONE,
    )
    assert generation.has_ended


def test_parses_failure() -> None:
    """The reason of a failure is kept verbatim."""
    generation = Generation.from_status(
        {"taskId": "task_1", "state": "failed", "failCode": "NSFW", "failMsg": "No."}, generation_id="task_1"
    )

    assert (generation.fail_code, generation.fail_message, generation.result_urls) == ("NSFW", "No.", ())
    assert generation.has_ended


@pytest.mark.parametrize("state", ["pending", "processing", "queued", "SUCCESS", "cancelled", ""])
def test_other_states_are_not_final(state: str) -> None:
    """Only success and failed are final; an unknown state is kept verbatim."""
    generation = Generation.from_status({"taskId": "task_1", "state": state}, generation_id="task_1")

    assert generation.state == state
    assert not generation.has_ended


@pytest.mark.parametrize("data", [{}, {"state": None}, {"state": 7}, {"state": ["success"]}], ids=str)
def test_invalid_states_are_not_final(data: dict[str, Any]) -> None:
    """A state that is missing or no text is not final."""
    assert not Generation.from_status(data, generation_id="task_1").has_ended


@pytest.mark.parametrize(
    "result_json",
    [
        None, "", "not JSON", "{", "null", "[]", "7", "{}", '{"resultUrls": null}', '{"resultUrls": []}', {},
        '{"resultUrls": [null, 7, "", "ftp://x", "1.mp4", "https://"]}',
        '{"resultUrls": ["https://cdn.example/\\ud800"]}', '{"resultUrls": ["http',
        "[" * 100_000, "9" * 5000, 7, True, [],
    ],
    ids=lambda value: f"{value!r:.30}",
)  # fmt: skip
def test_success_without_urls(result_json: object) -> None:
    """A success is parsed whatever its result contains, and the response is kept."""
    generation = _generation(resultJson=result_json)

    assert (generation.state, generation.result_urls) == ("success", ())
    assert generation.answer["resultJson"] == result_json


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "object"])
def test_parses_result_json(as_text: bool) -> None:  # noqa: FBT001 -- a row has it
    """URLs are found in order, in JSON text as documented and in an object."""
    result = {"resultUrls": ["https://cdn.example/1.mp4", "", "http://cdn.example/ü.mp4"], "more": 1}

    generation = _generation(resultJson=json.dumps(result) if as_text else result)

    assert generation.result_urls == ("https://cdn.example/1.mp4", "http://cdn.example/ü.mp4")


@pytest.mark.parametrize(
    "value",
    ["7", "task_1", "0c6d5a2e-1f0b-4f5c-9d1e-7a3b2c1d0e9f", "task:1/2=", "x" * 200],
    ids=lambda value: f"{value:.20}",
)
def test_ids_are_printable(value: str) -> None:
    """A short text of printable ASCII characters can be a generation's id."""
    assert is_generation_id(value)


@pytest.mark.parametrize(
    "value",
    [
        None, 7, "", " ", "task 1", "task_1\n", "task_1\r\nX: y", "task_\0", "\x1b[2J", "täsk", "task_\udcff",
        "x" * 201, "x" * 10**6, b"task_1", ["task_1"],
    ],
    ids=lambda value: f"{value!a:.20}",
)  # fmt: skip
def test_refuses_other_ids(value: object) -> None:
    """What could break a line, a URL or a command is not an id, nor is what is too long or no text."""
    assert not is_generation_id(value)


@pytest.mark.parametrize("depth", [51, 120, 190])
def test_keeps_excerpt_of_deep_answer(depth: int) -> None:
    """Of an answer that is nested too deep to be read back, the beginning of its text is kept."""
    nested = '{"a":' * (depth - 1) + "1" + "}" * (depth - 1)
    envelope = parse_envelope(f'{{"code": 200, "data": {json.dumps(_DONE)[:-1]}, "a": {nested}}}}}'.encode())
    assert envelope

    generation = Generation.from_status(envelope.data, generation_id="task_1")

    assert generation.result_urls == ("https://cdn.example/1.mp4",)
    assert generation.answer["excerpt"].startswith('{"taskId": "task_1", "state": "success"')
    assert len(generation.answer["excerpt"]) <= 2000


def test_answer_is_as_read_back() -> None:
    """Numbers that JSON cannot express are None at once, as they are after reading a record."""
    generation = _generation(costTime=float("inf"), more=[float("nan"), 1e300, 10**30])

    assert generation.answer["costTime"] is None
    assert generation.answer["more"] == [None, 1e300, 10**30]


@pytest.mark.parametrize(
    "moment",
    [datetime(year, 12, 31, tzinfo=UTC) for year in (1970, 1999, 2100, 9999)],
    ids=lambda moment: f"{moment:%Y}",
)
def test_ignores_impossible_times(moment: datetime) -> None:
    """A time decades away is a mistake, and adding to it could overflow."""
    generation = _generation(completeTime=moment.timestamp() * 1000)

    assert generation.completed_at is None


@pytest.mark.parametrize(
    "value", [None, "", "soon", True, {}, -(10**18), 10**18, 10**400, 1e300, float("nan"), float("inf")],
    ids=lambda value: f"{value!r:.20}",
)  # fmt: skip
@pytest.mark.parametrize("field", ["createTime", "completeTime", "costTime"])
def test_ignores_invalid_times(field: str, value: object) -> None:
    """An invalid time is dropped, and the URLs are kept."""
    generation = _generation(**{field: value})

    assert generation.result_urls
    assert generation.model_dump_json()
    assert generation.completed_at is None or field != "completeTime"


def test_keeps_unknown_fields() -> None:
    """Unknown fields are ignored, but kept in the response."""
    generation = _generation(seed=7)

    assert generation.answer["seed"] == 7


def test_reads_later_versions() -> None:
    """A generation that a later version recorded can be read."""
    written = json.loads(_generation().model_dump_json()) | {"seed": 7}

    assert Generation.model_validate(written) == _generation()


def test_repr_omits_the_response() -> None:
    """A repr does not contain the raw response."""
    assert "answer" not in repr(_generation())


def test_envelope_ignores_unknown_fields() -> None:
    """Undocumented fields of a response are ignored."""
    assert Envelope.model_validate({"code": 200, "trace": "x"}) == Envelope(code=200)
