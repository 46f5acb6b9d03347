"""The API according to contract.md."""

import json
from collections.abc import Callable

import pytest

from prefect_seedance.sandbox.fate import default_fate
from tests.sandbox.conftest import STATUS, SUBMIT, Client, text_input

IMAGE = "https://images.example/dawn.png"


def image_input(**changes: object) -> dict[str, object]:
    return text_input(mode="image-to-video", image_urls=[IMAGE], **changes)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"input": text_input()}, id="text"),
        pytest.param({"input": image_input()}, id="one image"),
        pytest.param({"input": image_input() | {"image_urls": [IMAGE, IMAGE]}}, id="two images"),
        pytest.param({"input": text_input(aspect_ratio=..., fixed_lens=...)}, id="defaults"),
        pytest.param({"input": text_input(prompt="abc")}, id="shortest prompt"),
        pytest.param({"input": text_input(prompt="x" * 2500)}, id="longest prompt"),
        *(pytest.param({"input": text_input(duration=seconds)}, id=f"{seconds} s") for seconds in (4, 8, 12)),
        *(pytest.param({"input": text_input(resolution=r)}, id=r) for r in ("480p", "720p")),
        *(
            pytest.param({"input": text_input(aspect_ratio=ratio)}, id=ratio)
            for ratio in ("1:1", "16:9", "9:16", "21:9", "3:4", "4:3")
        ),
        *(
            pytest.param({"input": text_input(), "provider": provider}, id=provider)
            for provider in ("auto", "value", "official")
        ),
        pytest.param({"input": text_input(), "request_type": "async"}, id="async"),
        *(
            pytest.param({"input": text_input(), "request_type": "callback", "callback_url": url}, id=url)
            for url in (
                "https://hooks.example/x",
                "http://127.0.0.1:1/x",
                "http://localhost/x",
                "https://[::1]/x",
            )
        ),
    ],
)
async def test_valid_body_accepted(in_process: Callable[..., Client], body: dict[str, object]) -> None:
    """The API accepts every body that the contract allows."""
    response = await in_process(speed=0.001).post(body)

    assert response.status_code == 200
    assert response.json()["code"] == 200
    assert response.json()["message"] == "success"
    assert response.json()["data"]["taskId"].startswith("task_")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param([], "object", id="no object"),
        pytest.param({}, "input", id="no input"),
        pytest.param({"input": None}, "input", id="null input"),
        pytest.param({"input": text_input(), "extra": 1}, "extra", id="unknown field"),
        pytest.param({"input": text_input(), "request_type": "sync"}, "request_type", id="request type"),
        pytest.param(
            {"input": text_input(), "request_type": "callback"}, "callback_url", id="no callback URL"
        ),
        pytest.param({"input": text_input(), "callback_url": None}, "callback_url", id="null callback URL"),
        pytest.param(
            {"input": text_input(), "callback_url": "http://hooks.example"}, "callback_url", id="no TLS"
        ),
        pytest.param(
            {"input": text_input(), "callback_url": "https://10.0.0.1/x"}, "callback_url", id="private"
        ),
        pytest.param({"input": text_input(), "callback_url": "hooks"}, "callback_url", id="no URL"),
        pytest.param({"input": text_input(), "provider": "cheap"}, "provider", id="provider"),
        pytest.param({"input": text_input(seed=1)}, "input.seed", id="unknown input field"),
        *(
            pytest.param({"input": text_input(**{field: ...})}, f"input.{field}", id=f"no {field}")
            for field in ("mode", "prompt", "duration", "resolution", "sound")
        ),
        *(
            pytest.param({"input": text_input(**{field: None})}, f"input.{field}", id=f"null {field}")
            for field in ("mode", "prompt", "duration", "resolution", "aspect_ratio", "sound", "fixed_lens")
        ),
        pytest.param({"input": text_input(mode="video-to-video")}, "input.mode", id="mode"),
        pytest.param({"input": text_input(prompt="ab")}, "input.prompt", id="short prompt"),
        pytest.param({"input": text_input(prompt="x" * 2501)}, "input.prompt", id="long prompt"),
        pytest.param({"input": text_input(prompt=7)}, "input.prompt", id="prompt type"),
        pytest.param({"input": text_input(duration=5)}, "input.duration", id="duration"),
        pytest.param({"input": text_input(duration="4")}, "input.duration", id="duration text"),
        pytest.param({"input": text_input(duration=4.0)}, "input.duration", id="duration float"),
        pytest.param({"input": text_input(resolution="1080p")}, "input.resolution", id="resolution"),
        pytest.param({"input": text_input(aspect_ratio="16:10")}, "input.aspect_ratio", id="aspect ratio"),
        pytest.param({"input": text_input(sound="yes")}, "input.sound", id="sound"),
        pytest.param({"input": text_input(fixed_lens=1)}, "input.fixed_lens", id="fixed lens"),
        pytest.param({"input": text_input(image_urls=[IMAGE])}, "image_urls", id="image for text"),
        pytest.param({"input": text_input(image_urls=[])}, "image_urls", id="empty list for text"),
        pytest.param({"input": text_input(mode="image-to-video")}, "image_urls", id="no images"),
        pytest.param({"input": image_input() | {"image_urls": []}}, "image_urls", id="empty images"),
        pytest.param({"input": image_input() | {"image_urls": [IMAGE] * 3}}, "image_urls", id="three images"),
        pytest.param({"input": image_input() | {"image_urls": IMAGE}}, "image_urls", id="images type"),
        pytest.param(
            {"input": image_input() | {"image_urls": ["dawn.png"]}}, "image_urls.0", id="image path"
        ),
        pytest.param(
            {"input": image_input() | {"image_urls": [IMAGE, "http://["]}}, "image_urls.1", id="image URL"
        ),
    ],
)
async def test_invalid_body_refused(in_process: Callable[..., Client], body: object, field: str) -> None:
    """The API refuses any other body with 400 and the field name, without billing."""
    caller = in_process()

    response = await caller.post(body)

    assert response.status_code == response.json()["code"] == 400
    assert field in response.json()["message"]
    assert response.json()["data"] is None
    assert (await caller.totals())["accepted"] == 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"input=1"])
async def test_non_json_refused(in_process: Callable[..., Client], content: bytes) -> None:
    """The API refuses a body that is not JSON with 400."""
    caller = in_process()
    headers = {**caller.authorization, "Content-Type": "application/json"}

    response = await caller.http.post(SUBMIT, content=content, headers=headers)

    assert response.status_code == response.json()["code"] == 400
    assert "JSON" in response.json()["message"]


async def test_content_type_required(in_process: Callable[..., Client]) -> None:
    """The API refuses a valid body with another content type with 400."""
    caller = in_process()
    headers = {**caller.authorization, "Content-Type": "text/plain"}

    response = await caller.http.post(SUBMIT, content=json.dumps({"input": text_input()}), headers=headers)

    assert response.status_code == 400
    assert "Content-Type" in response.json()["message"]


@pytest.mark.parametrize(
    "authorization", [None, "Bearer wrong", "Bearer", "Basic sandbox-key", "sandbox-key"]
)
async def test_key_required(in_process: Callable[..., Client], authorization: str | None) -> None:
    """Both endpoints return 401 without a valid bearer key."""
    caller = in_process()
    headers = {} if authorization is None else {"Authorization": authorization}

    submit = await caller.http.post(SUBMIT, json={"input": text_input()}, headers=headers)
    status = await caller.http.get(STATUS, params={"taskId": "task_1"}, headers=headers)

    assert (submit.status_code, submit.json()["code"], submit.json()["data"]) == (401, 401, None)
    assert (status.status_code, status.json()["code"], status.json()["data"]) == (401, 401, None)


async def test_unknown_model_refused(in_process: Callable[..., Client]) -> None:
    """Both endpoints return 404 for an unknown model."""
    caller = in_process()
    task_id = await caller.submit()

    submit = await caller.http.post(
        SUBMIT.replace("1-5", "9-9"), json={"input": text_input()}, headers=caller.authorization
    )
    status = await caller.http.get(
        STATUS.replace("1-5", "9-9"), params={"taskId": task_id}, headers=caller.authorization
    )

    assert (submit.status_code, status.status_code) == (404, 404)
    assert "model" in submit.json()["message"]
    assert "model" in status.json()["message"]


async def test_unknown_task_refused(in_process: Callable[..., Client]) -> None:
    """An unknown id returns 404, and a missing id 400."""
    caller = in_process()

    unknown = await caller.read("task_unknown")
    missing = await caller.http.get(STATUS, headers=caller.authorization)

    assert unknown.status_code == unknown.json()["code"] == 404
    assert missing.status_code == missing.json()["code"] == 400
    assert "taskId" in missing.json()["message"]


async def test_foreign_task_hidden(in_process: Callable[..., Client]) -> None:
    """Another customer's generation returns 404."""
    caller = in_process(other_api_key="another-key")
    task_id = await caller.submit()

    response = await Client(caller.http, "another-key").read(task_id)

    assert response.status_code == 404
    assert (await caller.read(task_id)).status_code == 200


async def test_balance_runs_out(in_process: Callable[..., Client]) -> None:
    """A submission that exceeds the balance returns 402 and starts nothing."""
    caller = in_process(balance_seconds=10)
    await caller.submit(duration=8)

    refused = await caller.post({"input": text_input(duration=4)})

    assert refused.status_code == refused.json()["code"] == 402
    assert (await caller.totals())["paid_seconds"] == 8


async def test_balance_is_a_number(in_process: Callable[..., Client]) -> None:
    """The balance is read with the key, and counts as a request."""
    caller = in_process(requests_per_minute=1)
    url = "/api/v1/apikeys/current-balance"

    refused = await caller.http.get(url)
    balance = await caller.http.get(url, headers=caller.authorization)
    limited = await caller.http.get(url, headers=caller.authorization)

    assert [answer.status_code for answer in (refused, balance, limited)] == [401, 200, 429]
    assert balance.json() == {"code": 200, "message": "success", "data": 1000.0}


async def test_requests_limited(in_process: Callable[..., Client]) -> None:
    """Both endpoints return 429 above the rate limit."""
    caller = in_process(requests_per_minute=2)
    task_id = await caller.submit()
    await caller.read(task_id)

    submit, status = await caller.post({"input": text_input()}), await caller.read(task_id)

    assert submit.status_code == submit.json()["code"] == 429
    assert status.status_code == status.json()["code"] == 429
    assert ((await caller.totals())["accepted"], (await caller.totals())["over_limits"]) == (1, 2)


async def test_generations_limited(in_process: Callable[..., Client]) -> None:
    """Submissions above the limit in flight return 429 until a generation ends."""
    caller = in_process(max_in_flight=1)
    first = await caller.submit()

    refused = await caller.post({"input": text_input()})
    await caller.ended(first)

    assert refused.status_code == refused.json()["code"] == 429
    assert (await caller.totals())["over_limits"] == 1
    assert await caller.submit()


async def test_unknown_routes_enveloped(in_process: Callable[..., Client]) -> None:
    """Unknown paths and methods return an envelope, too."""
    caller = in_process()

    path, method = await caller.http.get("/api/v2"), await caller.http.get(SUBMIT)

    assert path.json() == {"code": 404, "message": "Not Found", "data": None}
    assert method.json() == {"code": 405, "message": "Method Not Allowed", "data": None}


async def test_states_follow_time(in_process: Callable[..., Client]) -> None:
    """A generation is pending, processing, then successful, each with the contract's fields."""
    caller = in_process(speed=100)
    task_id = await caller.submit()

    pending = await caller.status(task_id)
    processing = await caller.until(task_id, "processing")
    success = await caller.ended(task_id)

    assert pending["state"] == "pending"
    assert set(pending) == set(processing) == {"taskId", "state", "createTime"}
    assert set(success) == {"taskId", "state", "createTime", "completeTime", "costTime", "resultJson"}
    assert success["taskId"] == task_id
    assert len(json.loads(success["resultJson"])["resultUrls"]) == 1
    assert await caller.status(task_id) == success


async def test_times_reported(in_process: Callable[..., Client]) -> None:
    """The reported times match the actual duration."""
    caller = in_process(speed=200)

    status = await caller.ended(await caller.submit())

    assert status["costTime"] >= 200
    assert status["completeTime"] - status["createTime"] >= status["costTime"] + 5


@pytest.mark.parametrize(("duration", "least", "most"), [(4, 40, 60), (8, 60, 90), (12, 90, 120)])
def test_times_match_duration(duration: int, least: float, most: float) -> None:
    """Processing takes as long as the contract specifies for each duration, divided by the speed."""
    times = [
        default_fate(str(number), duration=duration, speed=speed).processing_seconds * speed
        for number in range(200)
        for speed in (1, 50)
    ]

    assert least <= min(times) < least + 2
    assert most - 2 < max(times) <= most


def test_request_decides_times() -> None:
    """Equal requests have equal fates, and different requests different ones."""
    one, again, other = (
        default_fate(request, duration=4, speed=1) for request in ("the sea", "the sea", "the moon")
    )

    assert one == again != other
