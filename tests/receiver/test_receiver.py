import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from prefect_seedance.api.callback_urls import AttemptRef, Secrets
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent, Outcome, Result
from prefect_seedance.receiver import Receiver, app, create_app
from prefect_seedance.storage.store import Store

SECRETS = Secrets.parse("a-secret-of-runs-and-receiver-alike")
ASKED = datetime.now(UTC)
SETTLES_SECONDS = 20.0


class Api(httpx.AsyncBaseTransport):
    """Answers every status read alike, and remembers who was asked about and when."""

    def __init__(self, **data: object) -> None:
        self.data = data
        self.reads: list[tuple[str, float]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.reads.append((request.url.params["taskId"], asyncio.get_running_loop().time()))
        if not self.data:
            return httpx.Response(404, json={"code": 404, "message": "no such task", "data": None})
        return httpx.Response(200, json={"code": 200, "message": "", "data": self.data})


def made(created_at: datetime = ASKED) -> Api:
    urls = json.dumps({"resultUrls": ["https://cdn/clip.mp4"]})
    return Api(state="success", resultJson=urls, createTime=round(created_at.timestamp() * 1000))


def intent(number: int = 1, *, settles: float = 0.0) -> Intent:
    return Intent(
        fingerprint=f"{number:032}",
        number=1,
        name=f"clip {number}",
        production="lighthouse",
        model="seedance-1-5-pro",
        base_url="https://api.apixo.ai",
        request=GenerateRequest(
            request_type="callback",
            callback_url="https://hooks.example.com",
            input=ClipInput(mode="text-to-video", prompt="drifting clouds"),
        ),
        asked_by="somebody",
        asked_at=ASKED,
        settles_by=datetime.now(UTC) + timedelta(seconds=settles),
    )


class Story:
    """A receiver, an archive, and what was announced."""

    def __init__(self, store: Store, api: Api) -> None:
        self.api = api
        self.store = store
        self.ledger = Ledger(store)
        self.announced: list[Attempt] = []
        self.http: httpx.AsyncClient

    async def asked(self, number: int = 1, *, accepted: str = "", settles: float = 0.0) -> str:
        """Record an attempt, and return its callback's path."""
        attempt = await self.ledger.claim(intent(number, settles=settles))
        assert attempt
        if accepted:
            await self.ledger.accept(attempt, accepted)
        return path(attempt.intent)

    async def call(self, path: str, generation_id: str = "task_1") -> int:
        body = {"code": 200, "message": "success", "data": {"taskId": generation_id, "state": "success"}}
        return (await self.http.post(path, json=body)).status_code

    async def told(self, number: int = 1, *, seconds: float = 10.0) -> Attempt:
        """Return what is known of an attempt once it is announced, or after a while."""
        clock = asyncio.get_running_loop().time
        latest = clock() + seconds
        while number not in {int(each.intent.fingerprint) for each in self.announced} and clock() < latest:
            await asyncio.sleep(0.02)
        attempt = await self.ledger.attempt(f"{number:032}", 1)
        assert attempt
        return attempt

    async def hints(self) -> tuple[str, ...]:
        return tuple(key for key in await self.store.keys("clips/") if key.endswith("called.json"))


def path(of: Intent) -> str:
    return f"/callbacks/{SECRETS.token(AttemptRef(of.fingerprint, of.number))}"


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return Store.open(f"memory://{request.node.nodeid}")


@asynccontextmanager
async def receiving(store: Store, api: Api) -> AsyncIterator[Story]:
    """Open a receiver as a server does."""
    story = Story(store, api)
    client = SeedanceClient("key", transport=api)
    receiver = Receiver(store, client=client, secrets=SECRETS, on_outcome=story.announced.append)
    transport = httpx.ASGITransport(create_app(receiver))
    async with receiver, httpx.AsyncClient(transport=transport, base_url="http://receiver") as story.http:
        yield story


async def test_callback_leads_to_outcome(store: Store) -> None:
    """A callback is written down, answered, and what the API then says is recorded and announced."""
    async with receiving(store, made()) as story:
        path = await story.asked(accepted="task_1")

        assert await story.call(path) == 200
        hints = await story.hints()
        told = await story.told()

    assert len(hints) == 1
    assert told.outcome
    assert told.outcome.result_urls == ("https://cdn/clip.mp4",)
    assert story.announced == [told]
    assert len(story.api.reads) == 1


@pytest.mark.parametrize("path", ["/callbacks/", "/callbacks", "/callbacks/x", "/callbacks/x/y", "/"])
async def test_unknown_address_is_not_found(store: Store, path: str) -> None:
    """Who does not know an address learns nothing but that."""
    async with receiving(store, made()) as story:
        answer = await story.http.post(path)

    assert answer.status_code == 404
    assert story.api.reads == []


async def test_other_archives_attempt_is_not_found(store: Store) -> None:
    """A true token of an attempt that this archive knows nothing of leaves no trace in it."""
    async with receiving(store, made()) as story:
        status = await story.call(path(intent(7)))

    assert status == 404
    assert await store.keys("clips/") == ()


async def test_body_is_not_believed(store: Store) -> None:
    """Neither the id nor the results in a body count where the ledger knows the id."""
    async with receiving(store, made()) as story:
        path = await story.asked(accepted="task_1")

        await story.call(path, "task_of_a_forger")
        told = await story.told()

    assert [read for read, _ in story.api.reads] == ["task_1"]
    assert told.generation_id == "task_1"


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b'{"data": null}', b'{"data": {"taskId": 7}}', b"x" * 100_000],
    ids=["empty", "text", "list", "null", "number", "large"],
)
async def test_any_body_is_a_hint(store: Store, body: bytes) -> None:
    """Whatever comes to an attempt's address says that it is time to look."""
    async with receiving(store, made()) as story:
        path = await story.asked(accepted="task_1")

        answer = await story.http.post(path, content=body)
        told = await story.told()

    assert answer.status_code == 200
    assert told.outcome


async def test_slow_body_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not finish a request in time gets no more of ours."""
    monkeypatch.setattr(app, "_BODY_SECONDS", 0.2)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)
        yield b"}"

    async with receiving(store, made()) as story:
        path = await story.asked(accepted="task_1")

        answer = await story.http.post(path, content=slow())

    assert answer.status_code == 408
    assert story.api.reads == []


async def test_repeats_cost_nothing(store: Store) -> None:
    """However often a callback comes, the status is read once and the first hint stands."""
    async with receiving(store, made()) as story:
        path = await story.asked(accepted="task_1")
        await story.call(path)
        await story.told()
        before = [await store.read(key) for key in await store.keys("clips/")]

        statuses = {await story.call(path, f"task_{number}") for number in range(100)}
        await asyncio.sleep(0.5)

    assert statuses == {200}
    assert len(story.api.reads) == 1
    assert [await store.read(key) for key in await store.keys("clips/")] == before


async def test_early_calls_are_bounded(store: Store) -> None:
    """Posted to without end before its end, a generation is read once a second at most."""
    async with receiving(store, Api(state="processing")) as story:
        path = await story.asked(accepted="task_1")
        for _ in range(160):
            await story.call(path)
            await asyncio.sleep(0.02)
        took = asyncio.get_running_loop().time() - story.api.reads[0][1]

    moments = [moment for _, moment in story.api.reads]
    assert 1 < len(moments) <= took + 1
    assert all(later - earlier >= 0.99 for earlier, later in itertools.pairwise(moments))
    assert story.announced == []


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an archive in a bucket that does not answer."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    known = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    for name, value in {**known, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    return Store.open("s3://clips")


async def test_no_answer_unless_written_down(unreachable: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that cannot be written down is not answered with 200, so that it comes again."""
    monkeypatch.setattr(app, "_RECORDING_SECONDS", 0.5)
    async with receiving(unreachable, made()) as story:
        status = await story.call(path(intent()))

    assert status == 503


async def test_takes_up_open_hints(store: Store) -> None:
    """What a receiver had written down and not finished, the next one finishes without being called."""
    async with receiving(store, Api(state="processing")) as story:
        await story.call(await story.asked(1, accepted="task_1"))
        await story.call(await story.asked(2, accepted="task_2"), "task_2")

    async with receiving(store, made()) as story:
        told = [await story.told(number) for number in (1, 2)]

    assert all(attempt.outcome for attempt in told)
    assert sorted(read for read, _ in story.api.reads) == ["task_1", "task_2"]


async def test_overtaken_answer_is_awaited(store: Store) -> None:
    """A callback that overtakes the submission's answer waits for it, and does not decide in its place."""
    async with receiving(store, made()) as story:
        path = await story.asked(settles=SETTLES_SECONDS)
        await story.call(path, "task_of_the_callback")
        undecided = await story.told(seconds=0.5)

        await story.ledger.accept(undecided, "task_of_the_answer")
        told = await story.told()

    assert undecided.undecided
    assert told.outcome
    assert told.generation_id == "task_of_the_answer"
    assert [read for read, _ in story.api.reads] == ["task_of_the_answer"]


async def test_lost_answer_is_resolved(store: Store) -> None:
    """Once its author has had its time, an attempt is accepted under the id that its callback names."""
    async with receiving(store, made()) as story:
        await story.call(await story.asked(), "task_9")
        told = await story.told()

    assert told.outcome
    assert told.acceptance
    assert told.generation_id == "task_9"
    assert "a callback" in (told.acceptance.resolved_by or "")


@pytest.mark.parametrize(
    "api",
    [
        pytest.param(Api(), id="unknown to the API"),
        pytest.param(made(ASKED - timedelta(hours=1)), id="created before"),
        pytest.param(made(ASKED + timedelta(hours=1)), id="created after"),
    ],
)
async def test_implausible_id_resolves_nothing(store: Store, api: Api) -> None:
    """An id that cannot be the attempt's leaves it for a person to resolve, and is asked about once."""
    async with receiving(store, api) as story:
        path = await story.asked()
        for _ in range(5):
            await story.call(path, "task_9")
            told = await story.told(seconds=0.2)

    assert told.undecided
    assert len(story.api.reads) == 1


async def test_anothers_id_resolves_nothing(store: Store) -> None:
    """An id that belongs to another attempt in the archive is not taken for this one's."""
    async with receiving(store, made()) as story:
        await story.asked(1, accepted="task_1")
        await story.call(await story.asked(2), "task_1")
        told = await story.told(2, seconds=0.5)

    assert told.undecided


async def test_callback_revives_what_was_given_up(store: Store) -> None:
    """A clip that somebody declared lost is found again when its callback proves that it exists."""
    async with receiving(store, made()) as story:
        path = await story.asked()
        attempt = await story.ledger.attempt(f"{1:032}", 1)
        assert attempt
        await story.ledger.conclude(attempt, Outcome.of_loss(resolved_by="somebody"))

        await story.call(path, "task_9")
        told = await story.told()

    assert told.generation_id == "task_9"
    assert told.outcome is None, "whoever produces it again waits for it"
    assert [each.outcome.result for each in story.announced if each.outcome] == [Result.success]


@pytest.mark.parametrize(("path", "says"), [("/health", "alive\n"), ("/ready", "ready\n")])
async def test_tells_its_health(store: Store, path: str, says: str) -> None:
    """Whoever starts and watches the receiver can ask whether it lives and can work."""
    async with receiving(store, made()) as story:
        answer = await story.http.get(path)

    assert (answer.status_code, answer.text) == (200, says)


async def test_not_ready_without_archive(unreachable: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver whose archive does not answer lives, and is not ready."""
    monkeypatch.setattr(app, "_READY_SECONDS", 0.5)
    async with receiving(unreachable, made()) as story:
        answers = [(await story.http.get(path)).status_code for path in ("/health", "/ready")]

    assert answers == [200, 503]
