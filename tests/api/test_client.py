import asyncio
import itertools
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any

import httpx
import pytest

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.permit import Permit
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.errors import (
    ApiError,
    AuthenticationError,
    ConnectionFailedError,
    ContentRejectedError,
    InsufficientFundsError,
    InvalidRequestError,
    ModelUnavailableError,
    NoAnswerError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RedirectedError,
    SeedanceError,
    ServerError,
    SetupError,
)

KEY = "sk-secret-key"
REQUEST = GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves"))

Answer = Callable[[], httpx.Response]


def responds(status: int = 200, *, code: int | None = None, data: object = None, **headers: str) -> Answer:
    """Make a response of the API."""
    body = {"code": status if code is None else code, "message": "why", "data": data}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx.Response(status, json=body, headers=named)


def fails(error: Exception) -> Answer:
    """Make a failure of the transport."""

    def answer() -> httpx.Response:
        raise error

    return answer


ACCEPTED = responds(data={"taskId": "task_1"})
PENDING = responds(data={"taskId": "task_1", "state": "pending"})


class Script(httpx.AsyncBaseTransport):
    """Answers with one response after another, repeats the last, and records requests and times."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the next response."""
        self.requests.append(request)
        self.times.append(now())
        return self.answers.pop(0)() if len(self.answers) > 1 else self.answers[0]()


class Silence(httpx.AsyncBaseTransport):
    """Never answers, and counts the requests that wait."""

    waiting = most_waiting = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002 -- httpx's
        """Wait until cancelled."""
        self.waiting += 1
        self.most_waiting = max(self.waiting, self.most_waiting)
        try:
            await asyncio.sleep(3600)
        finally:
            self.waiting -= 1
        raise AssertionError


def now() -> float:
    return asyncio.get_running_loop().time()


def client(transport: httpx.AsyncBaseTransport | None = None, **options: Any) -> SeedanceClient:  # noqa: ANN401 -- passed on
    return SeedanceClient(KEY, transport=transport, **options)


async def submit(seedance: SeedanceClient) -> str:
    async with seedance.admission():
        return await seedance.submit(REQUEST)


async def read(seedance: SeedanceClient) -> str:
    return (await seedance.status("task_1")).state


# The contract's errors: the response, its error, and whether a read and a submission are retried.
ROWS: dict[str, tuple[Answer, type[SeedanceError], bool, bool]] = {
    "400": (responds(400), InvalidRequestError, False, False),
    "401": (responds(401), AuthenticationError, False, False),
    "402": (responds(402), InsufficientFundsError, False, False),
    "403": (responds(403), ContentRejectedError, False, False),
    "404": (responds(404), NotFoundError, False, False),
    "408": (responds(408), ServerError, True, False),
    "422": (responds(422), InvalidRequestError, False, False),
    "429": (responds(429), RateLimitedError, True, True),
    "500": (responds(500), ServerError, True, False),
    "502": (responds(502), ServerError, True, False),
    "503": (responds(503), ServerError, True, False),
    "504": (responds(504), ServerError, True, False),
    "302": (responds(302, Location="https://elsewhere.example/"), RedirectedError, False, False),
    "308": (responds(308, Location="https://elsewhere.example/"), RedirectedError, False, False),
    "code 400": (responds(code=400), InvalidRequestError, False, False),
    "code 401": (responds(code=401), AuthenticationError, False, False),
    "code 402": (responds(code=402), InsufficientFundsError, False, False),
    "code 403": (responds(code=403), ContentRejectedError, False, False),
    "code 404": (responds(code=404), NotFoundError, False, False),
    "code 429": (responds(code=429), RateLimitedError, True, True),
    "code 500": (responds(code=500), ServerError, True, False),
    "code 7": (responds(code=7), NoAnswerError, True, False),
    "no envelope": (lambda: httpx.Response(200, html="<h1>Hello</h1>"), NoAnswerError, True, False),
    "no data": (responds(data=None), NoAnswerError, True, False),
    "data is text": (responds(data="task_1"), NoAnswerError, True, False),
    "refused": (fails(httpx.ConnectError("refused")), ConnectionFailedError, True, True),
    "connect timeout": (fails(httpx.ConnectTimeout("")), ConnectionFailedError, True, True),
    "pool timeout": (fails(httpx.PoolTimeout("")), ConnectionFailedError, True, True),
    "proxy": (fails(httpx.ProxyError("")), ConnectionFailedError, True, True),
    "read timeout": (fails(httpx.ReadTimeout("")), NoAnswerError, True, False),
    "write timeout": (fails(httpx.WriteTimeout("")), NoAnswerError, True, False),
    "reset reading": (fails(httpx.ReadError("reset")), NoAnswerError, True, False),
    "reset writing": (fails(httpx.WriteError("reset")), NoAnswerError, True, False),
    "closed": (fails(httpx.RemoteProtocolError("disconnected")), NoAnswerError, True, False),
    "not HTTP": (fails(httpx.LocalProtocolError("garbled")), NoAnswerError, True, False),
    "not decodable": (fails(httpx.DecodingError("gzip")), NoAnswerError, True, False),
}

each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


@pytest.mark.parametrize(
    ("ask", "good", "result"),
    [(submit, ACCEPTED, "task_1"), (read, PENDING, "pending")],
    ids=["submit", "read"],
)
@each_row
async def test_retries_what_costs_nothing(
    row: tuple[Answer, type[SeedanceError], bool, bool],
    ask: Callable[[SeedanceClient], Awaitable[str]],
    good: Answer,
    result: str,
) -> None:
    """A request is retried exactly where the contract allows it; otherwise its error is raised."""
    answer, kind, read_retries, submit_retries = row
    script = Script(answer, good)

    async with client(script) as seedance:
        if read_retries if ask is read else submit_retries:
            assert await ask(seedance) == result
        else:
            with pytest.raises(kind) as caught:
                await ask(seedance)
            is_gone = ask is submit and kind is NotFoundError
            assert type(caught.value) is (ModelUnavailableError if is_gone else kind)

    sent = [each for each in script.requests if not each.url.path.endswith("current-balance")]
    assert len(sent) == 1 + (read_retries if ask is read else submit_retries)


@each_row
async def test_raises_persistent_errors(row: tuple[Answer, type[SeedanceError], bool, bool]) -> None:
    """Retries end after half a minute, with the error itself."""
    answer, kind, read_retries, _ = row
    script = Script(answer)

    async with client(script) as seedance:
        with pytest.raises(kind) as caught:
            await read(seedance)

    assert type(caught.value) is kind
    assert 5 <= len(script.requests) <= 6 if read_retries else len(script.requests) == 1
    assert script.times[-1] - script.times[0] < 31.5  # the pauses of a 429 may end a second later


@pytest.mark.parametrize(
    "data",
    [
        {}, {"taskId": ""}, {"taskId": None}, {"taskId": 7}, [], {"id": "task_1"},
        {"taskId": "x" * 10**6}, {"taskId": "task\n1"}, {"taskId": "täsk"},
    ],
    ids=lambda data: f"{data!r:.20}",
)  # fmt: skip
async def test_submission_needs_an_id(data: object) -> None:
    """An acceptance without a generation id is no answer, and is not retried."""
    script = Script(responds(data=data))

    async with client(script) as seedance:
        with pytest.raises(NoAnswerError, match="has no usable taskId"):
            await submit(seedance)

    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [200, 400, 502])
async def test_huge_answer_is_no_answer(status: int) -> None:
    """Whatever the status of an answer beyond the bound, a generation may have been started."""
    script = Script(lambda: httpx.Response(status, content=bytes(2**20 + 1)))
    permit = Permit.lasting(60)

    async with client(script) as seedance, seedance.admission():
        with pytest.raises(NoAnswerError, match="larger than"):
            await seedance.submit(REQUEST, permit=permit)

    assert permit.may_have_started
    assert len(script.requests) == 1


@pytest.mark.parametrize("generation_id", ["", "task 1", "task\n1", "x" * 201, "\udcff"], ids=ascii)
async def test_unknown_ids_are_not_requested(generation_id: str) -> None:
    """The API knows no generation with an id that cannot be one, so nothing is sent."""
    script = Script(PENDING)

    async with client(script) as seedance:
        with pytest.raises(NotFoundError, match="is not an id of the API"):
            await seedance.status(generation_id)

    assert script.requests == []


@pytest.mark.parametrize("broken", ["refused", "429"])
async def test_submission_gives_up_in_time(broken: str) -> None:
    """Retries of a submission end within the time that the client states."""
    script = Script(ROWS[broken][0])

    async with client(script, timeout_seconds=60) as seedance:
        began = now()
        with pytest.raises((ROWS[broken][1], NotSentError)):
            await submit(seedance)

        assert now() - began <= 120
        assert 5 <= len(script.requests) <= 8
        assert script.times[-1] - began <= 60


@pytest.mark.parametrize("hung", [submit, read], ids=["submit", "read"])
async def test_silence_has_a_bound(hung: Callable[[SeedanceClient], Awaitable[object]]) -> None:
    """A request to a server that hangs or trickles ends after the timeout."""
    seconds = 45 if hung is submit else 15

    async with client(Silence(), timeout_seconds=45) as seedance:
        began = now()
        with pytest.raises(NoAnswerError, match="TimeoutError"):
            await (submit(seedance) if hung is submit else seedance.status("task_1", retry_seconds=0))

    assert seconds <= now() - began < seconds + 1


async def test_retries_can_be_disabled() -> None:
    """With no time to retry, one request is sent."""
    script = Script(responds(500))

    async with client(script) as seedance:
        with pytest.raises(ServerError):
            await seedance.status("task_1", retry_seconds=0)

    assert len(script.requests) == 1


async def test_posts_the_request() -> None:
    """A submission is one POST with the request as JSON."""
    script = Script(ACCEPTED)

    async with client(script) as seedance:
        await submit(seedance)

    (request,) = script.requests
    assert (request.method, str(request.url)) == (
        "POST", "https://api.apixo.ai/api/v1/generateTask/seedance-1-5-pro",
    )  # fmt: skip
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.content) == REQUEST.body()


async def test_gets_the_status() -> None:
    """A status read is one GET with the generation's id, properly quoted."""
    script = Script(responds(data={"taskId": "a&b+c/%2", "state": "success", "new": 1}))

    async with client(script, base_url="http://localhost:1/proxy/", model="seedance-2") as seedance:
        generation = await seedance.status("a&b+c/%2")

    (request,) = script.requests
    assert (request.method, request.url.path) == ("GET", "/proxy/api/v1/statusTask/seedance-2")
    assert request.url.params["taskId"] == "a&b+c/%2"
    assert (generation.generation_id, generation.state, request.content) == ("a&b+c/%2", "success", b"")


@pytest.mark.parametrize(
    "clip",
    [
        ClipInput(mode="text-to-video", prompt=""),
        ClipInput(mode="image-to-video", prompt="waves"),
        ClipInput(mode="text-to-video", prompt="waves", duration=5),
        ClipInput(mode="text-to-video", prompt="half a \ud83c"),
    ],
    ids=["prompt", "images", "duration", "surrogate"],
)
async def test_sends_no_invalid_input(clip: ClipInput) -> None:
    """Input that the model would refuse is refused without a request."""
    script = Script(ACCEPTED)

    async with client(script) as seedance, seedance.admission():
        with pytest.raises(InvalidRequestError):
            await seedance.submit(GenerateRequest(input=clip))

    assert script.requests == []


@pytest.mark.parametrize("retry_after", ["20", "Fri, 01 Jan 2100 00:00:00 GMT"], ids=["seconds", "date"])
async def test_one_refusal_slows_all(retry_after: str) -> None:
    """After a 429 to a read, no client of the account reads until the pause ends."""
    refused, other = Script(responds(429, Retry_After=retry_after)), Script(PENDING)

    async with client(refused) as first, client(other, base_url="https://API.apixo.ai/v2") as second:
        with pytest.raises(RateLimitedError):
            await first.status("task_1", retry_seconds=10)
        reading = asyncio.create_task(read(second))
        await asyncio.wait({reading}, timeout=19)
        held = not other.requests
        reading.cancel()

    assert held
    assert len(refused.requests) == 1


@pytest.mark.parametrize(
    ("refused", "other", "answer"),
    [(submit, read, PENDING), (read, submit, ACCEPTED)],
    ids=["submission", "read"],
)
async def test_refusal_delays_no_other_kind(
    refused: Callable[[SeedanceClient], Awaitable[str]],
    other: Callable[[SeedanceClient], Awaitable[str]],
    answer: Answer,
) -> None:
    """A 429 to a submission delays no read of a status, and a 429 to a read no submission."""
    script = Script(responds(429, Retry_After="600"), answer)

    async with client(script) as seedance:
        with pytest.raises(RateLimitedError):
            await refused(seedance)
        began = now()
        await other(seedance)

    assert script.times[-1] - began < 1


@pytest.mark.parametrize(("row", "least", "most"), [("refused", 1, 16), ("429", 30, 16 + 60)])
async def test_outage_admits_few(row: str, least: int, most: int) -> None:
    """In an hour of refusals one submission a minute is admitted, and so recorded; without the API none."""
    script, admitted = Script(ROWS[row][0]), 0

    async def keep_submitting(seedance: SeedanceClient) -> None:
        nonlocal admitted
        while True:
            async with seedance.admission():
                admitted += 1
                with suppress(RateLimitedError, ConnectionFailedError, NotSentError):
                    await seedance.submit(REQUEST)

    async with client(script, timeout_seconds=60) as seedance:
        with suppress(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.gather(*[keep_submitting(seedance) for _ in range(50)])

    assert least <= admitted <= most
    assert 30 < len(script.requests) < 16 + 60 + 6


async def test_clients_pace_together() -> None:
    """Two clients of one account keep its requests per minute, each with its own limit."""
    slow, fast = Script(PENDING), Script(PENDING)

    async with client(slow, requests_per_minute=6) as first, client(fast, requests_per_minute=60) as second:
        await asyncio.gather(*[read(second) for _ in range(5)], *[read(first) for _ in range(3)])

    gaps = [later - sooner for sooner, later in itertools.pairwise(sorted(slow.times + fast.times))]
    assert all(gap > 0.8 for gap in gaps)
    assert fast.times[-1] - fast.times[0] < 20  # behind the slow client it would be 40
    assert slow.times[-1] - slow.times[0] > 19.9


@pytest.mark.parametrize("ask", [submit, read], ids=["submit", "read"])
async def test_waits_for_retry_after(ask: Callable[[SeedanceClient], Awaitable[str]]) -> None:
    """The next try is sent when the API requests it, and not earlier."""
    script = Script(responds(429, Retry_After="20"), ACCEPTED if ask is submit else PENDING)

    async with client(script) as seedance:
        await ask(seedance)

    first, second = script.times
    assert 20 <= second - first < 21


async def test_long_pauses_are_raised() -> None:
    """A pause longer than the time to retry is raised with its length."""
    script = Script(responds(429, Retry_After="600"))

    async with client(script) as seedance:
        began = now()
        with pytest.raises(RateLimitedError) as caught:
            await submit(seedance)

    assert caught.value.retry_after_seconds == 600
    assert now() - began < 1


async def _refuse(seedance: SeedanceClient, seconds: float) -> None:
    """Refuse a submission of another client."""
    with suppress(RateLimitedError):
        async with seedance.account.submissions.request(10_000):
            raise RateLimitedError("", retry_after_seconds=seconds)


async def test_pause_by_others_is_bounded() -> None:
    """A submission that waits for a slot during a long pause times out, and nothing is sent."""
    script = Script(ACCEPTED)

    async with client(script, timeout_seconds=60) as seedance, seedance.admission():
        await _refuse(seedance, 900)
        began = now()
        with pytest.raises(NotSentError, match="Nothing was sent"):
            await seedance.submit(REQUEST)

    assert 60 <= now() - began < 61
    assert script.requests == []


async def test_admission_waits_for_pause() -> None:
    """No submission is admitted during a pause."""
    async with client(Script(ACCEPTED)) as seedance:
        await _refuse(seedance, 25)
        began = now()
        async with seedance.admission():
            admitted = now()

    assert 25 <= admitted - began < 26


@pytest.mark.parametrize("row", ["401", "402"])
async def test_account_errors_stop_all(row: str) -> None:
    """After the API refused the key or the balance, each client's submissions fail without a request."""
    answer, kind, _, _ = ROWS[row]
    script, other = Script(answer, ACCEPTED), Script(ACCEPTED)
    raised = []

    async with client(script) as seedance, client(other) as second:
        for each in (seedance, seedance, second):
            with pytest.raises(kind, match=row) as caught:
                await submit(each)
            raised.append(caught.value)

    assert (len(script.requests), len(other.requests)) == (1, 0)
    assert [error.code for error in raised if isinstance(error, ApiError)] == [int(row)] * 3
    assert len(set(map(id, raised))) == 3


@pytest.mark.parametrize("row", ["401", "402"])
async def test_account_errors_pass(row: str) -> None:
    """A minute after the API refused the key or the balance, a submission finds out whether it still does."""
    script = Script(ROWS[row][0], ACCEPTED)

    async with client(script) as seedance:
        with pytest.raises(ApiError):
            await submit(seedance)
        await asyncio.sleep(60)

        assert await submit(seedance) == "task_1"


async def test_balance_ends_refusal() -> None:
    """After a balance was read, submissions are sent again."""
    script = Script(responds(402), responds(data=74.87), ACCEPTED)

    async with client(script) as seedance:
        with pytest.raises(InsufficientFundsError):
            await submit(seedance)
        await seedance.balance()

        assert await submit(seedance) == "task_1"


@pytest.mark.parametrize(
    ("data", "dollars"), [(74.87, "74.87"), (0, "0"), (0.1, "0.1"), (-3.5, "-3.5")], ids=str
)
async def test_reads_the_balance(data: object, dollars: str) -> None:
    """The balance is one GET of the account's key, and exact to the cent."""
    script = Script(responds(503), responds(data=data))

    async with client(script, base_url="https://api.apixo.ai/v2/") as seedance:
        balance = await seedance.balance()

    assert balance == Decimal(dollars)
    assert (script.requests[1].method, str(script.requests[1].url)) == (
        "GET", "https://api.apixo.ai/v2/api/v1/apikeys/current-balance",
    )  # fmt: skip


@pytest.mark.parametrize("data", [None, True, "74.87", [], {"balance": 1}, float("nan")], ids=str)
async def test_balance_is_a_number(data: object) -> None:
    """Anything but a number is no balance, and the account stays refused."""
    script = Script(responds(402), lambda: httpx.Response(200, text=json.dumps({"code": 200, "data": data})))

    async with client(script) as seedance:
        with pytest.raises(InsufficientFundsError):
            await submit(seedance)
        with pytest.raises(NoAnswerError):
            await seedance.balance()
        with pytest.raises(InsufficientFundsError):
            await submit(seedance)


@pytest.mark.parametrize(
    "words",
    [
        "Insufficient credits",
        "insufficient account balance",
        "INSUFFICIENT_CREDITS",
        "Your credit balance is too low",
        "Not enough credits to run this model",
        "You have run out of credits.",
        "balance not enough, please recharge",
        "Payment required",
        "Account balance is insufficient for this request",
    ],
)
@pytest.mark.parametrize(("status", "code"), [(400, 400), (403, 403), (422, 422), (200, 400), (402, 402)])
async def test_words_mean_no_money(words: str, status: int, code: int) -> None:
    """A refusal that says that the balance is too low stops all submissions, whatever its number."""
    answer = httpx.Response(status, json={"code": code, "message": words, "data": None})
    script = Script(lambda: answer)

    async with client(script) as seedance:
        for _ in range(3):
            with pytest.raises(InsufficientFundsError, match="add credit to the account"):
                await submit(seedance)

    assert len(script.requests) == 1


async def test_balance_explains_refusal() -> None:
    """A refusal that may mean anything is one for lack of money if the balance is zero."""
    script = Script(responds(403), responds(data=0), ACCEPTED)

    async with client(script) as seedance:
        for _ in range(2):
            with pytest.raises(InsufficientFundsError, match="The balance is 0 USD; add credit"):
                await submit(seedance)

    assert [each.url.path.rpartition("/")[2] for each in script.requests] == [
        "seedance-1-5-pro",
        "current-balance",
    ]


async def test_content_is_not_money() -> None:
    """A refusal of content stays one if there is a balance, or if it cannot be read."""
    for balance in (responds(data=3.5), responds(500)):
        async with client(Script(responds(403), balance)) as seedance:
            with pytest.raises(ContentRejectedError):
                await submit(seedance)


@pytest.mark.parametrize(
    "answer",
    [responds(404), responds(410), responds(code=410), responds(code=404)],
    ids=["404", "410", "410 in the envelope", "404 in the envelope"],
)
async def test_retired_model_stops(answer: Answer) -> None:
    """A model that the API does not know is asked for once; the message names successor and command."""
    script = Script(answer, ACCEPTED)

    async with client(script) as seedance:
        for _ in range(3):
            with pytest.raises(ModelUnavailableError, match="plan STORYBOARD --model seedance-2-0"):
                await submit(seedance)

    assert len(script.requests) == 1


async def test_out_of_order_model_stops() -> None:
    """A failure that names the model's absence leaves its submission unresolved, and stops the next."""
    answer = httpx.Response(503, json={"code": 503, "message": "MODEL_UNAVAILABLE", "data": None})
    script = Script(lambda: answer)

    async with client(script) as seedance:
        with pytest.raises(ServerError):
            await submit(seedance)
        with pytest.raises(ModelUnavailableError):
            await submit(seedance)

    assert len(script.requests) == 1


@pytest.mark.parametrize("row", ["400", "403", "500"])
async def test_clip_errors_stop_one(row: str) -> None:
    """After the API refused one clip, others are submitted."""
    script = Script(ROWS[row][0], ACCEPTED)

    async with client(script) as seedance:
        with pytest.raises(ROWS[row][1]):
            await submit(seedance)

        assert await submit(seedance) == "task_1"


@pytest.mark.parametrize("ask", [submit, read], ids=["submit", "read"])
async def test_limits_concurrent_requests(
    ask: Callable[[SeedanceClient], Coroutine[None, None, str]],
) -> None:
    """At most sixteen submissions and sixteen reads are sent at once."""
    silence = Silence()

    async with client(silence, requests_per_minute=10**9) as seedance:
        tasks = [asyncio.create_task(ask(seedance)) for _ in range(50)]
        await asyncio.sleep(1)
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)

    assert (silence.most_waiting, silence.waiting) == (16, 0)


async def test_cancelling_frees_the_gate() -> None:
    """Cancelled requests do not block others."""
    silence = Silence()

    async with client(silence, requests_per_minute=10**9) as seedance:
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(submit(seedance), timeout=0.5)
        async with asyncio.timeout(1), seedance.admission():
            pass

    assert silence.waiting == 0


async def test_key_stays_in_its_header() -> None:
    """The key is in the Authorization header of every request, and nowhere else in it."""
    script = Script(ACCEPTED, PENDING)

    async with client(script) as seedance:
        await submit(seedance)
        await read(seedance)

    for request in script.requests:
        assert request.url.host == "api.apixo.ai"
        assert request.headers.pop("Authorization") == f"Bearer {KEY}"
        assert KEY not in f"{request.url} {request.headers.raw} {request.content!r}"
    assert len(script.requests) == 2


async def test_requests_decodable_answers() -> None:
    """Only encodings that can be decoded are requested, whatever other packages are installed."""
    script = Script(ACCEPTED, PENDING)

    async with client(script) as seedance:
        await submit(seedance)
        await read(seedance)

    assert {request.headers["Accept-Encoding"] for request in script.requests} == {"gzip, deflate"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308], ids=str)
async def test_follows_no_redirects(status: int) -> None:
    """The key is not sent to the target of a redirect."""
    script = Script(responds(status, Location="https://elsewhere.example/"))

    async with client(script) as seedance:
        with pytest.raises(RedirectedError):
            await submit(seedance)
        with pytest.raises(RedirectedError):
            await read(seedance)

    assert {request.url.host for request in script.requests} == {"api.apixo.ai"}


@each_row
async def test_errors_hide_the_key(
    row: tuple[Answer, type[SeedanceError], bool, bool], caplog: pytest.LogCaptureFixture
) -> None:
    """The key is in no traceback, repr or log line."""
    caplog.set_level(logging.DEBUG)

    async with client(Script(row[0])) as seedance:
        with pytest.raises(SeedanceError) as caught:
            await seedance.status("task_1", retry_seconds=0)

    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in f"{shown} {caught.value!r} {seedance!r} {caplog.text}"


def test_repr_names_the_host() -> None:
    """A repr shows the base URL and the model, and not the key."""
    assert repr(client()) == "SeedanceClient(base_url='https://api.apixo.ai', model='seedance-1-5-pro')"


@pytest.mark.parametrize("key", ["", " ", "two words", "new\nline", "tab\t", "clé", "nul\0"], ids=repr)
def test_rejects_invalid_keys(key: str) -> None:
    """A key that is invalid in a header is rejected, and not shown."""
    with pytest.raises(SetupError, match="SEEDANCE_API_KEY") as caught:
        SeedanceClient(key)

    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "", "api.apixo.ai", "ftp://api.apixo.ai", "https://", "https://[::1", "http://x:99999", "https://x\n",
        "https://me:pass@api.apixo.ai", "https://api.apixo.ai?token=pass", "https://api.apixo.ai#pass", "http://xn--/",
    ],
    ids=lambda url: url.strip() or "empty",
)  # fmt: skip
def test_rejects_invalid_base_urls(url: str) -> None:
    """A base URL that is invalid or contains a secret is rejected, and the error names the setting."""
    with pytest.raises(SetupError, match="SEEDANCE_BASE_URL") as caught:
        client(base_url=url)

    assert "me:pass" not in str(caught.value)
    assert "token" not in str(caught.value)


@pytest.mark.parametrize(
    "recorded",
    [
        "https://elsewhere.example",
        "http://api.apixo.ai",
        "https://api.apixo.ai:8443",
        "https://api.apixo.ai@elsewhere.example",
        "https://api.apixo.ai.elsewhere.example",
        "https://me:pass@api.apixo.ai",
        "nonsense",
        "",
    ],
    ids=lambda url: url or "empty",
)
async def test_other_hosts_get_no_key(recorded: str) -> None:
    """The status of a generation that was submitted to another host is not read with this key."""
    script = Script(PENDING)

    async with client(script) as seedance:
        with pytest.raises(SetupError):
            await seedance.status("task_1", base_url=recorded)

    assert script.requests == []


@pytest.mark.parametrize(
    ("recorded", "polled"),
    [
        (None, "https://api.apixo.ai/"),
        ("https://api.apixo.ai", "https://api.apixo.ai/"),
        ("https://API.apixo.ai:443/", "https://api.apixo.ai/"),
        ("https://api.apixo.ai/v2", "https://api.apixo.ai/v2/"),
    ],
    ids=["not recorded", "same", "normalised", "another path"],
)
async def test_polls_the_recorded_url(recorded: str | None, polled: str) -> None:
    """On the key's own host, the recorded base URL and model are used."""
    script = Script(PENDING)

    async with client(script) as seedance:
        await seedance.status("task_1", model="seedance-0", base_url=recorded)

    assert str(script.requests[0].url) == f"{polled}api/v1/statusTask/seedance-0?taskId=task_1"


class Server:
    """A real server that keeps connections alive, and closes them instead of answering some requests."""

    def __init__(self, *closes_at: int, body: bytes = b"") -> None:
        self.closes_at = closes_at
        self.body = body
        self.requests_by_connection: list[int] = []
        self.connections: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it is closed."""
        mine = len(self.requests_by_connection)
        self.connections.append(asyncio.current_task())
        self.requests_by_connection.append(0)
        while head := await reader.read(1 << 16):
            self.requests_by_connection[mine] += 1
            if self.requests_by_connection[mine] in self.closes_at:
                break
            body = self.body or (ACCEPTED if head.startswith(b"POST") else PENDING)().content
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def serving(server: Server, *, scheme: str = "http") -> AsyncIterator[SeedanceClient]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with client(base_url=f"{scheme}://127.0.0.1:{port}") as seedance:
            yield seedance
        await asyncio.gather(*filter(None, server.connections))


async def test_submissions_use_fresh_connections() -> None:
    """A paid request never reuses a connection, which the server may be closing."""
    server = Server(2)

    async with serving(server) as seedance:
        for _ in range(3):
            assert await submit(seedance) == "task_1"

    assert server.requests_by_connection == [1, 1, 1]


async def test_reads_keep_connections() -> None:
    """Status reads reuse their connection, because they can be retried."""
    server = Server()

    async with serving(server) as seedance:
        for _ in range(3):
            await read(seedance)

    assert server.requests_by_connection == [3]


async def test_reads_survive_closed_connections() -> None:
    """If the server closes a reused connection, the read is retried."""
    server = Server(2)

    async with serving(server) as seedance:
        for _ in range(3):
            assert await read(seedance) == "pending"

    assert server.requests_by_connection == [2, 2, 1]


@pytest.mark.parametrize("body", [b"", b"x" * 200], ids=["closes", "answers garbage"])
async def test_lost_answers_are_not_retried(body: bytes) -> None:
    """A submission without a usable response is not sent again."""
    server = Server(*[] if body else [1], body=body)

    async with serving(server) as seedance:
        with pytest.raises(NoAnswerError):
            await submit(seedance)

    assert server.requests_by_connection == [1]


async def test_refused_connection_sends_nothing() -> None:
    """If no connection is established, nothing was sent."""
    async with await asyncio.start_server(Server().serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]

    async with client(base_url=f"http://127.0.0.1:{port}") as seedance:
        with pytest.raises(ConnectionFailedError, match="ConnectError"):
            await submit(seedance)


async def test_tls_failure_sends_nothing() -> None:
    """If the TLS handshake fails, neither the request nor the key was sent."""
    async with serving(Server(body=b"not TLS"), scheme="https") as seedance:
        with pytest.raises(ConnectionFailedError):
            await seedance.status("task_1", retry_seconds=0)


class Ending(Permit):
    """A permit that is revoked while the connection is being made."""

    def check(self) -> None:
        super().check()
        self.revoke()


async def test_connected_socket_sends_nothing() -> None:
    """If the permit ends while a real connection is being made, no byte of the request leaves."""
    received: list[bytes] = []
    is_closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()
        is_closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    permit = Ending.lasting(60)

    async with server, SeedanceClient(KEY, base_url=f"http://{host}:{port}") as seedance:
        with pytest.raises(NotSentError, match="stopped"):
            await seedance.submit(REQUEST, permit=permit)
        await is_closed.wait()

    assert received == [b""]
    assert not permit.may_have_started
