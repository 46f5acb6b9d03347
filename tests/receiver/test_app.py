import asyncio
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message

from prefect_seedance.api.callback_urls import AttemptRef
from prefect_seedance.receiver import app
from prefect_seedance.receiver.hints import Hints
from prefect_seedance.storage.store import Store
from tests.receiving import StatusApi, intent, path, receiving, succeeding


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return Store.open(f"memory://{request.node.nodeid}")


@pytest.mark.parametrize("path", ["/callbacks/", "/callbacks", "/callbacks/x", "/callbacks/x/y", "/"])
async def test_unknown_url_is_not_found(store: Store, path: str) -> None:
    """A request without a valid token gets 404 and has no effect."""
    async with receiving(store, succeeding()) as setup:
        answer = await setup.http.post(path)

    assert answer.status_code == 404
    assert setup.api.reads == []


async def test_attempt_elsewhere_is_not_found(store: Store) -> None:
    """A valid token of an attempt that is not in this archive gets 404 and leaves no trace."""
    async with receiving(store, succeeding()) as setup:
        status = await setup.call(path(intent(7)))

    assert status == 404
    assert await store.keys("clips/") == ()


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b'{"data": null}', b'{"data": {"taskId": 7}}', b"x" * 100_000],
    ids=["empty", "text", "list", "null", "number", "large"],
)
async def test_any_body_is_a_hint(store: Store, body: bytes) -> None:
    """A body without an id makes the receiver poll, and is delivered again each time."""
    async with receiving(store, succeeding()) as setup:
        path = await setup.submit(accepted_as="task_1")

        answers = [await setup.http.post(path, content=body)]
        attempt = await setup.attempt()
        answers.append(await setup.http.post(path, content=body))

    assert [answer.status_code for answer in answers] == [503, 503]
    assert attempt.outcome


@pytest.mark.parametrize("body", [b"", b"no JSON", b"x" * 100_000], ids=["empty", "text", "large"])
async def test_id_may_come_later(store: Store, body: bytes) -> None:
    """After a body without an id, another delivery with it resolves a submission whose answer was lost."""
    async with receiving(store, succeeding()) as setup:
        path = await setup.submit()

        answer = await setup.http.post(path, content=body)
        again = await setup.call(f"{path}/")
        attempt = await setup.attempt()

    assert (answer.status_code, again) == (503, 200)
    assert (attempt.generation_id, attempt.outcome is not None) == ("task_1", True)


async def test_head_has_no_effect(store: Store) -> None:
    """A gateway may check the URL with HEAD before it delivers; the callback follows."""
    async with receiving(store, succeeding()) as setup:
        path = await setup.submit()

        answers = [await setup.http.head(path), await setup.http.head(f"{path}x")]

    assert [answer.status_code for answer in answers] == [200, 404]
    assert setup.api.reads == []
    assert await Hints(store).pending() == ()


async def test_refuses_slow_body(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is not complete in time gets 408."""
    monkeypatch.setattr(app, "_BODY_SECONDS", 0.2)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)
        yield b"}"

    async with receiving(store, succeeding()) as setup:
        path = await setup.submit(accepted_as="task_1")

        answer = await setup.http.post(path, content=slow())

    assert answer.status_code == 408
    assert setup.api.reads == []


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an archive in a bucket that does not answer."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    known = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    for name, value in {**known, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    return Store.open("s3://clips")


async def test_refuses_unless_stored(unreachable: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that cannot be stored gets 503, so that the API delivers it again."""
    monkeypatch.setattr(app, "_RECORDING_SECONDS", 0.5)
    async with receiving(unreachable, succeeding()) as setup:
        status = await setup.call(path(intent()))

    assert status == 503


@pytest.mark.parametrize(("path", "text"), [("/health", "alive\n"), ("/ready", "ready\n")])
async def test_reports_health(store: Store, path: str, text: str) -> None:
    """Two endpoints report that the process runs and that the archive answers."""
    async with receiving(store, succeeding()) as setup:
        answer = await setup.http.get(path)

    assert (answer.status_code, answer.text) == (200, text)


async def test_not_ready_without_archive(unreachable: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver whose archive does not answer is healthy, but not ready."""
    monkeypatch.setattr(app, "_READY_SECONDS", 0.5)
    async with receiving(unreachable, succeeding()) as setup:
        answers = [(await setup.http.get(path)).status_code for path in ("/health", "/ready")]

    assert answers == [200, 503]


async def test_not_ready_if_read_only(tmp_path: Path) -> None:
    """A receiver is not ready if its archive can only be read; a check counts for some seconds."""
    store = Store.open(str(tmp_path / "archive"))
    (tmp_path / "archive/probes").write_text("a file in place of a folder, even root cannot write below it")

    async with receiving(store, succeeding()) as setup:
        first = (await setup.http.get("/ready")).status_code
        (tmp_path / "archive/probes").unlink()
        second = (await setup.http.get("/ready")).status_code
        setup.receiver._check_again_at = 0.0
        third = (await setup.http.get("/ready")).status_code

    assert [first, second, third] == [503, 503, 200]


@pytest.mark.parametrize("slashes", ["/", "//"])
async def test_slash_needs_no_redirect(store: Store, slashes: str) -> None:
    """A slash after the token is accepted, without a redirect to a URL with the token."""
    async with receiving(store, succeeding()) as setup:
        path = await setup.submit(accepted_as="task_1")

        status = await setup.call(path + slashes)

    assert status == 200


async def deliver(application: ASGIApp, path: str) -> int:
    """Send a callback without a client, which would take most of the time, and return the status."""
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 0))

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    await application(scope, receive, send)
    return statuses[0]


async def test_forged_callbacks_leave_nothing(store: Store) -> None:
    """20,000 callbacks with forged tokens leave memory and archive as they were."""
    async with receiving(store, succeeding()) as setup:
        application = app.create_app(setup.receiver)
        await deliver(application, "/callbacks/first")
        gc.collect()
        tracemalloc.start()
        for number in range(20_000):
            assert await deliver(application, f"/callbacks/{number:032x}.1.{'A' * 43}") == 404
        gc.collect()
        left_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert left_bytes < 500_000
    assert await store.keys("clips/") == ()


async def test_stores_callback_of_unreadable_clip(store: Store) -> None:
    """A callback whose attempt cannot be read is stored, and followed once it can be read."""
    key = f"clips/{1:032}/attempt-001/intent.json"
    async with receiving(store, succeeding()) as setup:
        unreadable = await setup.submit(1, accepted_as="task_1")
        other = await setup.submit(2, accepted_as="task_2")
        content = await store.read(key)
        await store.put(key, b"{")

        statuses = [await setup.call(unreadable, "task_1"), await setup.call(other, "task_2")]
        finished = await setup.attempt(2)

    assert statuses == [200, 200]
    assert finished.outcome
    await store.put(key, content or b"")
    async with receiving(store, succeeding()) as setup:
        assert (await setup.attempt(1)).outcome


async def test_unreadable_hint_stops_no_other(store: Store) -> None:
    """A stored hint whose attempt cannot be read does not delay the others, and stays for the next start."""
    async with receiving(store, StatusApi(state="processing")) as setup:
        for number in (1, 2):
            await setup.call(await setup.submit(number, accepted_as=f"task_{number}"), f"task_{number}")
    await store.put(f"clips/{1:032}/attempt-001/accepted.json", b"{")

    async with receiving(store, succeeding()) as setup:
        finished = await setup.attempt(2)

    assert finished.outcome
    assert [read for read, _ in setup.api.reads] == ["task_2"]
    assert await Hints(store).pending() == (AttemptRef(f"{1:032}", 1),)
