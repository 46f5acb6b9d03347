import asyncio
import contextlib
import itertools
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from prefect_seedance.api import wall_clock
from prefect_seedance.api.callback_urls import Callbacks, Secrets
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.permit import Permit, check_permit
from prefect_seedance.api.wire import ClipSettings, GenerateRequest, Generation
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Outcome, Result
from prefect_seedance.clips.submit import Submitter
from prefect_seedance.clips.unresolved import Resolver
from prefect_seedance.errors import (
    ArchiveError,
    AuthenticationError,
    BlockedError,
    ConnectionFailedError,
    ContentRejectedError,
    DeadlineError,
    FailKind,
    GenerationFailedError,
    InsufficientFundsError,
    RedirectedError,
    SeedanceError,
    SubmissionUnresolvedError,
)
from prefect_seedance.options import RetryPolicy
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip

CLIP = PlannedClip(
    name="dawn → noon",
    prompt="drifting clouds",
    images=(),
    settings=ClipSettings(),
    number=1,
    fingerprint="f" * 32,
)
ACCEPTED = {"code": 200, "message": "success", "data": {"taskId": "task_1"}}

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Api(httpx.AsyncBaseTransport):
    """Gives the scripted responses to submissions, and records the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.sent: list[httpx.Request] = []
        self._answers = itertools.chain(answers, itertools.repeat(httpx.Response(200, json=ACCEPTED)))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = next(self._answers)
        await asyncio.sleep(0.1)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refusal(code: int) -> httpx.Response:
    return httpx.Response(code, json={"code": code, "message": "no", "data": None})


async def compose() -> GenerateRequest:
    return GenerateRequest(input=CLIP.input([]))


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    return Ledger(Store.open(f"memory://{request.node.nodeid}"))


def submitter(api: Api, ledger: Ledger, *, policy: RetryPolicy = RetryPolicy()) -> Submitter:
    client = SeedanceClient("key", transport=api)
    return Submitter(
        client=client, ledger=ledger, production="lighthouse", run_id=secrets.token_hex(8), policy=policy
    )


def slow_client(api: Api) -> SeedanceClient:
    """Return a client of an account with one request a minute."""
    return SeedanceClient("slow-key", transport=api, requests_per_minute=1)


async def submit(submitter: Submitter, *, seconds: float = 600) -> Attempt:
    deadline = asyncio.get_running_loop().time() + seconds
    return await submitter.submit(CLIP, compose=compose, deadline=deadline)


async def test_waiting_clip_is_not_claimed(ledger: Ledger) -> None:
    """A clip is claimed when its request may be sent: until then, a killed run leaves nothing unresolved."""
    submits = replace(submitter(Api(), ledger), client=slow_client(Api()))
    await submit(submits)
    second = CLIP.model_copy(update={"fingerprint": "e" * 32})
    deadline = asyncio.get_running_loop().time() + 600

    waiting = asyncio.create_task(submits.submit(second, compose=compose, deadline=deadline))
    await asyncio.sleep(50)
    before = await ledger.attempts(second.fingerprint)
    await waiting

    assert (before, len(await ledger.attempts(second.fingerprint))) == ((), 1)


async def test_records_intent_before_sending(ledger: Ledger) -> None:
    """When the request is sent, the ledger has its intent and nothing else."""
    seen: list[tuple[Attempt, ...]] = []

    class Inspecting(Api):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(await ledger.attempts(CLIP.fingerprint))
            return await super().handle_async_request(request)

    api = Inspecting()

    attempt = await submit(submitter(api, ledger))

    ((recorded,),) = seen
    assert recorded.undecided
    assert json.loads(api.sent[0].content) == recorded.intent.request.body()
    assert attempt.generation_id == "task_1"
    assert await ledger.attempts(CLIP.fingerprint) == (attempt,)


async def test_signature_is_not_recorded(ledger: Ledger) -> None:
    """The API receives the images' URLs as they are signed; the ledger keeps them without signatures."""
    url = "https://b.s3.amazonaws.com/a.png"
    clip_input = CLIP.input([]).model_copy(
        update={"mode": "image-to-video", "image_urls": (f"{url}?X-Amz-Signature=ab",)}
    )
    api = Api()

    async def signed() -> GenerateRequest:
        return GenerateRequest(input=clip_input)

    deadline = asyncio.get_running_loop().time() + 600
    attempt = await submitter(api, ledger).submit(CLIP, compose=signed, deadline=deadline)

    assert json.loads(api.sent[0].content)["input"]["image_urls"] == [f"{url}?X-Amz-Signature=ab"]
    assert attempt.intent.request.input.image_urls == (url,)


async def test_submits_only_once(ledger: Ledger) -> None:
    """A clip that was accepted once is never sent again."""
    first = await submit(submitter(Api(), ledger))
    api = Api()

    again = await submit(submitter(api, ledger))

    assert again == first
    assert not api.sent


async def test_concurrent_submissions_pay_once(ledger: Ledger) -> None:
    """Of fifty concurrent submissions of one clip, one is sent and all return its id."""
    api = Api()

    attempts = await asyncio.gather(*[submit(submitter(api, ledger)) for _ in range(50)])

    assert len(api.sent) == 1
    assert {attempt.generation_id for attempt in attempts} == {"task_1"}


UNKNOWN = [
    pytest.param(httpx.ReadTimeout(""), id="read timeout"),
    pytest.param(httpx.ReadError("reset"), id="reset"),
    pytest.param(httpx.RemoteProtocolError("closed"), id="closed"),
    pytest.param(refusal(500), id="500"),
    pytest.param(refusal(502), id="502"),
    pytest.param(refusal(503), id="503"),
    pytest.param(refusal(504), id="504"),
    pytest.param(httpx.Response(200, text="<html>"), id="garbage"),
    pytest.param(httpx.Response(200, json={"code": 200, "data": {}}), id="no id"),
    pytest.param(httpx.Response(200, json={"code": 500, "message": "", "data": None}), id="500 inside 200"),
]


@pytest.mark.parametrize("answer", UNKNOWN)
async def test_unknown_outcome_stays_unresolved(ledger: Ledger, answer: httpx.Response | Exception) -> None:
    """If a generation may have been started, neither this run nor a later one submits it again."""
    api = Api(answer)

    with pytest.raises(SubmissionUnresolvedError, match="may exist"):
        await submit(submitter(api, ledger))
    with pytest.raises(SubmissionUnresolvedError, match="may exist"):
        await submit(submitter(api, ledger))

    assert len(api.sent) == 1
    (attempt,) = await ledger.attempts(CLIP.fingerprint)
    assert attempt.undecided
    assert attempt.settling_seconds == 0
    assert (await Resolver(ledger=ledger, resolved_by="ada").declare_lost(CLIP.fingerprint)).outcome


async def test_says_from_when_to_resolve() -> None:
    """If the loss of the answer cannot be recorded, the error names the time at which it can be resolved."""

    class Failing(Store):
        async def create(self, key: str, content: bytes) -> bool:
            if key.endswith("no-answer.json"):
                raise ArchiveError("read-only file system")
            return await super().create(key, content)

    ledger = Ledger(Failing.open("memory://no note"))

    with pytest.raises(SubmissionUnresolvedError, match=r"or from \d\d:\d\d:\d\d UTC on, --lost, if"):
        await submit(submitter(Api(httpx.ReadTimeout("")), ledger))


NOTHING_STARTED = [
    pytest.param(httpx.ConnectError("refused"), id="refused"),
    pytest.param(httpx.ConnectTimeout(""), id="connect timeout"),
    pytest.param(httpx.PoolTimeout(""), id="pool timeout"),
    pytest.param(refusal(429), id="429"),
    pytest.param(httpx.Response(200, json={"code": 429, "message": "", "data": None}), id="429 inside 200"),
]


@pytest.mark.parametrize("answer", NOTHING_STARTED)
async def test_retries_if_nothing_started(ledger: Ledger, answer: httpx.Response | Exception) -> None:
    """Within one attempt, a submission that certainly started nothing is sent again."""
    api = Api(answer, answer)

    attempt = await submit(submitter(api, ledger))

    assert len(api.sent) == 3
    assert attempt.intent.number == 1


async def test_outage_leaves_one_attempt(ledger: Ledger) -> None:
    """An outage of hours leaves one attempt, recorded as not started; free requests find its end."""
    api = Api(*[httpx.ConnectError("refused")] * 120)

    attempt = await submit(submitter(api, ledger), seconds=24 * 3600)

    (closed, last) = await ledger.attempts(CLIP.fingerprint)
    assert (attempt.generation_id, attempt) == ("task_1", last)
    assert closed.outcome
    assert closed.outcome.result is Result.not_started
    assert len([request for request in api.sent if request.method == "POST"]) < 10


REFUSED = [
    pytest.param(400, SeedanceError, FailKind.input, id="400"),
    pytest.param(401, AuthenticationError, FailKind.transient, id="401"),
    pytest.param(402, InsufficientFundsError, FailKind.money, id="402"),
    pytest.param(403, ContentRejectedError, FailKind.content, id="403"),
    pytest.param(404, SeedanceError, FailKind.input, id="404"),
    pytest.param(308, RedirectedError, FailKind.transient, id="308"),
]


@pytest.mark.parametrize(("code", "error", "kind"), REFUSED)
async def test_refusal_is_final(
    ledger: Ledger, code: int, error: type[SeedanceError], kind: FailKind
) -> None:
    """A refusal is raised at once, and recorded as having started nothing."""
    api = Api(refusal(code))

    with pytest.raises(error):
        await submit(submitter(api, ledger))

    (attempt,) = await ledger.attempts(CLIP.fingerprint)
    assert [each.method for each in api.sent].count("POST") == 1
    assert attempt.outcome
    assert (attempt.outcome.result, attempt.outcome.kind) == (Result.not_started, kind)


@pytest.mark.parametrize("code", [400, 401, 402, 404, 308])
async def test_next_run_retries_refused(ledger: Ledger, code: int) -> None:
    """A refused submission cost nothing, so a run submits again a minute later."""
    with pytest.raises(SeedanceError):
        await submit(submitter(Api(refusal(code)), ledger))
    await asyncio.sleep(61)

    attempt = await submit(submitter(Api(), ledger))

    assert attempt.intent.number == 2


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 451])
async def test_firewall_is_no_verdict(ledger: Ledger, code: int) -> None:
    """A firewall's page is recorded as having started nothing, and the next run submits at once."""
    with pytest.raises(BlockedError):
        await submit(submitter(Api(httpx.Response(code, html="<title>Blocked</title>")), ledger))

    attempt = await submit(submitter(Api(), ledger))

    assert attempt.intent.number == 2


async def test_rejected_content_needs_permission(ledger: Ledger) -> None:
    """Rejected content is submitted again only if the policy permits it."""
    with pytest.raises(ContentRejectedError):
        await submit(submitter(Api(refusal(403)), ledger))
    api = Api()

    with pytest.raises(ContentRejectedError, match="retry_rejected=True"):
        await submit(submitter(api, ledger, policy=RetryPolicy(retry_failed=True)))
    assert not api.sent
    attempt = await submit(submitter(api, ledger, policy=RetryPolicy(retry_rejected=True)))

    assert attempt.intent.number == 2


async def _failed(ledger: Ledger, code: str) -> None:
    attempt = (await ledger.attempts(CLIP.fingerprint))[-1]
    kind = FailKind.content if code == "NSFW" else FailKind.transient
    await ledger.conclude(
        attempt, Outcome(result=Result.failed, ended_at=datetime.now(UTC), kind=kind, code=code)
    )


@pytest.mark.parametrize(
    "policy", [RetryPolicy(), RetryPolicy(retry_failed=True, retry_rejected=True, on_unresolved="resubmit")]
)
async def test_success_is_never_bought_again(ledger: Ledger, policy: RetryPolicy) -> None:
    """A clip whose generation succeeded is not submitted again, whatever the policy permits."""
    accepted = await submit(submitter(Api(), ledger))
    success = await ledger.conclude(accepted, Outcome(result=Result.success, ended_at=datetime.now(UTC)))
    api = Api()

    again = await submit(submitter(api, ledger, policy=policy))

    assert again == success
    assert not api.sent


async def test_failure_needs_permission(ledger: Ledger) -> None:
    """A failed generation is submitted again only if the policy permits it, and then once."""
    await submit(submitter(Api(), ledger))
    await _failed(ledger, "GENERATION_FAILED")
    api = Api()

    with pytest.raises(GenerationFailedError, match="GENERATION_FAILED"):
        await submit(submitter(api, ledger))
    assert not api.sent
    attempt = await submit(submitter(api, ledger, policy=RetryPolicy(retry_failed=True)))

    assert attempt.intent.number == 2
    assert len(api.sent) == 1


async def test_retries_one_failure_per_run(ledger: Ledger) -> None:
    """Two concurrent runs that retry a failure pay for one more attempt, even if that fails too."""
    await submit(submitter(Api(), ledger))
    await _failed(ledger, "GENERATION_FAILED")
    api, policy = Api(), RetryPolicy(retry_failed=True)
    claimed = await ledger.claim(submitter(api, ledger)._intent(CLIP, await compose(), number=2))
    assert claimed

    waiting = asyncio.create_task(submit(submitter(api, ledger, policy=policy)))
    await asyncio.sleep(5)
    await ledger.accept(claimed, "task_2")
    await _failed(ledger, "GENERATION_FAILED")

    assert (await asyncio.gather(waiting, return_exceptions=True))[0] is not None
    assert not api.sent


async def test_waits_for_other_process(ledger: Ledger) -> None:
    """While another process may still record an answer, the clip is neither submitted nor unresolved."""
    api = Api()
    first = submitter(api, ledger)
    intent = first._intent(CLIP, await compose(), number=1)
    claimed = await ledger.claim(intent)
    assert claimed

    waiting = asyncio.create_task(submit(submitter(api, ledger)))
    await asyncio.sleep(20)
    await ledger.accept(claimed, "task_9")

    assert (await waiting).generation_id == "task_9"
    assert not api.sent


async def test_abandoned_claim_is_unresolved(ledger: Ledger) -> None:
    """Once the time of a claim is over, its outcome is unknown."""
    api = Api()
    first = submitter(api, ledger)
    old = first._intent(CLIP, await compose(), number=1).model_copy(
        update={"settles_by": datetime.now(UTC) - timedelta(seconds=1)}
    )
    await ledger.claim(old)

    with pytest.raises(SubmissionUnresolvedError, match="attempt 1 was submitted"):
        await submit(submitter(api, ledger))

    assert not api.sent


async def test_resubmits_only_with_permission(ledger: Ledger) -> None:
    """With permission, a run declares an abandoned claim lost and submits again; the ledger names the run."""
    api = Api()
    first = submitter(api, ledger)
    old = first._intent(CLIP, await compose(), number=1).model_copy(
        update={"settles_by": datetime.now(UTC) - timedelta(seconds=1)}
    )
    await ledger.claim(old)

    attempt = await submit(submitter(api, ledger, policy=RetryPolicy(on_unresolved="resubmit")))

    lost, _ = await ledger.attempts(CLIP.fingerprint)
    assert attempt.intent.number == 2
    assert len(api.sent) == 1
    assert lost.outcome
    assert lost.outcome.result is Result.lost
    assert lost.outcome.resolved_by


async def test_lost_permits_one_more(ledger: Ledger) -> None:
    """After an attempt was declared lost, the next run submits another one."""
    claimed = await ledger.claim(submitter(Api(), ledger)._intent(CLIP, await compose(), number=1))
    assert claimed
    await ledger.conclude(claimed, Outcome.of_loss(resolved_by="a person"))

    again = await submit(submitter(Api(), ledger))

    assert again.intent.number == 2


async def test_answer_overrules_loss(ledger: Ledger) -> None:
    """An answer recorded after the attempt was declared lost is used, and nothing is submitted again."""
    api = Api()
    claimed = await ledger.claim(submitter(api, ledger)._intent(CLIP, await compose(), number=1))
    assert claimed
    await ledger.conclude(claimed, Outcome.of_loss(resolved_by="a person"))
    accepted = await ledger.accept(claimed, "task_7")

    attempt = await submit(submitter(api, ledger))
    ended = await ledger.conclude(accepted, Outcome(result=Result.success, ended_at=datetime.now(UTC)))

    assert attempt.generation_id == "task_7"
    assert not api.sent
    assert ended.outcome
    assert ended.outcome.result is Result.success


async def test_cancelled_before_sending(ledger: Ledger) -> None:
    """Cancelling during a Retry-After pause sends nothing more, and records that nothing was started."""
    refused = httpx.Response(429, headers={"Retry-After": "20"}, json={"code": 429, "data": None})
    api = Api(refused)
    submitting = asyncio.create_task(submit(submitter(api, ledger)))
    await asyncio.sleep(3)

    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    await asyncio.sleep(100)

    (attempt,) = await ledger.attempts(CLIP.fingerprint)
    assert len(api.sent) == 1
    assert attempt.outcome
    assert attempt.outcome.result is Result.not_started


async def test_retries_recording() -> None:
    """An answer that cannot be recorded at first is recorded as soon as the archive works."""
    failures = iter(range(5))

    class FullForAWhile(Store):
        async def create(self, key: str, content: bytes) -> bool:
            if key.endswith("accepted.json") and next(failures, None) is not None:
                raise ArchiveError("No space left on device")
            return await super().create(key, content)

    ledger = Ledger(FullForAWhile.open("memory://full for a while"))

    attempt = await submit(submitter(Api(), ledger))

    assert await ledger.attempts(CLIP.fingerprint) == (attempt,)


async def test_long_pause_claims_nothing(ledger: Ledger) -> None:
    """During a Retry-After pause no attempt is claimed, and at the deadline nothing was spent."""
    api = Api(httpx.Response(429, headers={"Retry-After": "3600"}, json={"code": 429, "data": None}))
    shared = submitter(api, ledger)

    with pytest.raises(DeadlineError):
        await submit(shared, seconds=600)

    attempts = await ledger.attempts(CLIP.fingerprint)
    assert len(api.sent) == 1
    assert [each.outcome and each.outcome.result for each in attempts] == [Result.not_started]


async def test_late_claim_is_not_sent() -> None:
    """If recording an intent takes longer than the time to send it, it is not sent."""

    class Slow(Store):
        async def create(self, key: str, content: bytes) -> bool:
            created = await super().create(key, content)
            if key.endswith("001/intent.json"):
                await asyncio.sleep(6)
            return created

    ledger, api = Ledger(Slow.open("memory://slow claims")), Api()
    client = SeedanceClient("key", transport=api, timeout_seconds=5)

    attempt = await submit(Submitter(client=client, ledger=ledger, production="lighthouse", run_id="a"))

    first, _ = await ledger.attempts(CLIP.fingerprint)
    assert first.outcome
    assert first.outcome.result is Result.not_started
    assert attempt.intent.number == 2
    assert len(api.sent) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (httpx.ConnectError("refused"), ConnectionFailedError, "refused.*Check the base URL and the network"),
        (refusal(429), DeadlineError, "answered 429: no.*run again"),
    ],
    ids=["unreachable", "429"],
)
async def test_deadline_names_the_cause(
    ledger: Ledger, answer: httpx.Response | Exception, kind: type[SeedanceError], said: str
) -> None:
    """A clip that could not be submitted in time has the error of the API, and the deadline is kept."""
    clock = asyncio.get_running_loop().time
    began = clock()

    with pytest.raises(
        kind, match=f"was not submitted before the deadline and cost nothing .*{said}"
    ) as caught:
        await submit(submitter(Api(*[answer] * 1000), ledger), seconds=100)

    assert type(caught.value) is kind
    assert clock() - began == pytest.approx(100, abs=1)


async def test_submits_nothing_after_deadline(ledger: Ledger) -> None:
    """After the deadline nothing is submitted."""
    api = Api()

    with pytest.raises(DeadlineError, match="cost nothing"):
        await submit(submitter(api, ledger), seconds=0)

    assert not api.sent
    assert await ledger.attempts(CLIP.fingerprint) == ()


async def test_cancelled_submission_is_recorded(ledger: Ledger) -> None:
    """The answer to a submission is recorded even if the submission is cancelled meanwhile."""
    api = Api()
    submitting = asyncio.create_task(submit(submitter(api, ledger)))
    while not api.sent:
        await asyncio.sleep(0.01)

    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting

    (attempt,) = await ledger.attempts(CLIP.fingerprint)
    assert attempt.generation_id == "task_1"


@pytest.mark.parametrize(
    ("code", "kind"), [(401, AuthenticationError), (402, InsufficientFundsError), (308, RedirectedError)]
)
async def test_refused_account_stops_batch(ledger: Ledger, code: int, kind: type[SeedanceError]) -> None:
    """Once the API refuses the account, or redirects, the other clips are not submitted."""
    api = Api(*[refusal(code)] * 100)
    shared = submitter(api, ledger)
    clips = [CLIP.model_copy(update={"fingerprint": f"{number:032}"}) for number in range(100)]
    deadline = asyncio.get_running_loop().time() + 600

    ends = await asyncio.gather(
        *[shared.submit(clip, compose=compose, deadline=deadline) for clip in clips], return_exceptions=True
    )

    assert {type(end) for end in ends} == {kind}
    assert len(api.sent) <= 16


def with_callbacks(api: Api, ledger: Ledger, *, waits: bool = True) -> Submitter:
    """Return a submitter that requests callbacks."""
    callbacks = Callbacks(base="https://hooks.example.com", secrets=Secrets.parse("a-secret-" * 4))
    return replace(submitter(api, ledger), callbacks=callbacks, waits=waits)


async def test_token_goes_to_api_only(ledger: Ledger) -> None:
    """The API gets a URL with a secret token; the ledger stores the URL without the token."""
    api = Api()

    attempt = await submit(with_callbacks(api, ledger))

    sent, kept = json.loads(api.sent[0].content), attempt.intent.request
    token = sent["callback_url"].removeprefix("https://hooks.example.com/callbacks/")
    assert sent["request_type"] == kept.request_type == "callback"
    assert token.startswith(f"{CLIP.fingerprint}.1.")
    assert kept.callback_url == "https://hooks.example.com"
    assert token not in attempt.model_dump_json()


async def test_callback_resolves_lost_answer(ledger: Ledger) -> None:
    """A run whose answer was lost waits for the callback, which resolves the attempt."""
    api = Api(httpx.ReadError("the connection broke"))
    asking = asyncio.create_task(submit(with_callbacks(api, ledger)))
    await asyncio.sleep(90)
    (lost,) = await ledger.attempts(CLIP.fingerprint)

    await ledger.accept(lost, "task_9", resolved_by="a callback")

    assert (await asking).generation_id == "task_9"
    assert len(api.sent) == 1


async def test_missing_callback_stays_unresolved(ledger: Ledger) -> None:
    """If no callback resolves the attempt, the error is that of the lost answer."""
    api = Api(httpx.ReadError("the connection broke"))

    with pytest.raises(SubmissionUnresolvedError, match="the connection broke"):
        await submit(with_callbacks(api, ledger))

    assert len(api.sent) == 1


async def test_no_wait_raises_at_once(ledger: Ledger) -> None:
    """A run that does not wait for generations does not wait for callbacks either."""
    began = asyncio.get_running_loop().time()

    with pytest.raises(SubmissionUnresolvedError):
        await submit(with_callbacks(Api(httpx.ReadError("the connection broke")), ledger, waits=False))

    assert asyncio.get_running_loop().time() - began < 10


@pytest.mark.parametrize("seconds", [30, 0.05], ids=["while waiting", "while sending"])
async def test_deadline_admits_possible_cost(ledger: Ledger, seconds: float) -> None:
    """If the deadline comes before the callback, the error says that a paid generation may exist."""
    with pytest.raises(SubmissionUnresolvedError, match="may exist"):
        await submit(with_callbacks(Api(httpx.ReadError("the connection broke")), ledger), seconds=seconds)


@pytest.mark.parametrize("is_given_up", [False, True], ids=["new clip", "given up by an earlier run"])
async def test_pays_again_once_per_run(ledger: Ledger, *, is_given_up: bool) -> None:
    """With permission to resubmit, a run whose every answer is lost pays for one attempt and no more."""
    if is_given_up:
        with pytest.raises(SubmissionUnresolvedError):
            await submit(submitter(Api(httpx.ReadError("the connection broke")), ledger))
        await _expire(ledger)
    api = Api(*[httpx.ReadError("the connection broke")] * 9)
    careless = replace(with_callbacks(api, ledger), policy=RetryPolicy(on_unresolved="resubmit"))

    with pytest.raises(SubmissionUnresolvedError):
        await submit(careless, seconds=3600)

    assert len(api.sent) == 1


async def test_late_answer_beats_new_attempt(ledger: Ledger) -> None:
    """An answer to an attempt that was declared lost is used, although a later attempt failed."""
    first = await ledger.claim(submitter(Api(), ledger)._intent(CLIP, await compose(), number=1))
    assert first
    await ledger.conclude(first, Outcome.of_loss(resolved_by="a person"))
    await submit(submitter(Api(), ledger))
    await _failed(ledger, "GENERATION_FAILED")
    await ledger.accept(first, "task_late")
    api = Api()

    attempt = await submit(submitter(api, ledger, policy=RetryPolicy(retry_failed=True)))

    assert attempt.generation_id == "task_late"
    assert not api.sent


@pytest.mark.parametrize("clock", ["wall", "monotonic"])
async def test_stopped_process_sends_nothing(
    ledger: Ledger, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that continues after its claim has expired sends nothing, though its connection is ready."""
    permits: list[Permit] = []
    lasting = Permit.lasting

    def observed(seconds: float) -> Permit:
        permits.append(lasting(seconds))
        return permits[-1]

    class Connecting(Api):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if not self.sent and len(permits) == 1:  # as if the process was stopped while it connected
                if clock == "wall":
                    permits[0].expires_at -= timedelta(hours=1)
                else:
                    permits[0].deadline -= 3600
                check_permit()
            return await super().handle_async_request(request)

    monkeypatch.setattr(Permit, "lasting", observed)
    api = Connecting()

    attempt = await submit(submitter(api, ledger))

    first, second = await ledger.attempts(CLIP.fingerprint)
    assert attempt == second
    assert first.outcome
    assert first.outcome.result is Result.not_started
    assert len(api.sent) == 1


async def test_stop_before_claim_shortens_permit(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a process is stopped before it claims, its permit ends a timeout after the intent."""
    permits: list[Permit] = []
    ticks, lasting = itertools.count(), Permit.lasting

    def ticking() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=next(ticks))

    def observed(seconds: float) -> Permit:
        permits.append(lasting(seconds))
        return permits[-1]

    monkeypatch.setattr(wall_clock, "now", ticking)
    monkeypatch.setattr(Permit, "lasting", observed)
    shared = submitter(Api(), ledger)

    attempt = await submit(shared)

    (permit,), timeout = permits, timedelta(seconds=shared.client.timeout_seconds)
    assert permit.expires_at <= attempt.intent.asked_at + timeout


async def test_deadline_stops_hosting(ledger: Ledger) -> None:
    """If the images are not hosted before the deadline, nothing is sent after it."""
    api = Api()

    async def slow() -> GenerateRequest:
        await asyncio.sleep(700)
        return await compose()

    with pytest.raises(DeadlineError, match="cost nothing"):
        await submitter(api, ledger).submit(
            CLIP, compose=slow, deadline=asyncio.get_running_loop().time() + 600
        )

    assert not api.sent
    assert await ledger.attempts(CLIP.fingerprint) == ()


async def test_repeated_cancellation_keeps_answer(ledger: Ledger) -> None:
    """However often a submission is cancelled, the answer that is on its way is recorded."""
    api = Api()
    submitting = asyncio.create_task(submit(submitter(api, ledger)))
    while not api.sent:
        await asyncio.sleep(0.01)

    while not submitting.done():
        submitting.cancel()
        await asyncio.sleep(0)

    assert submitting.cancelled()
    (attempt,) = await ledger.attempts(CLIP.fingerprint)
    assert attempt.generation_id == "task_1"


async def test_cancelled_while_recording(caplog: pytest.LogCaptureFixture) -> None:
    """An id that cannot be recorded is logged at once, and recorded later although the run is cancelled."""
    failures = iter(range(5))

    class FullForAWhile(Store):
        async def create(self, key: str, content: bytes) -> bool:
            if key.endswith("accepted.json") and next(failures, None) is not None:
                raise ArchiveError("No space left on device")
            return await super().create(key, content)

    ledger, api = Ledger(FullForAWhile.open("memory://cancelled while recording")), Api()
    submitting = asyncio.create_task(submit(submitter(api, ledger)))
    while "cannot be recorded yet" not in caplog.text:
        await asyncio.sleep(0.01)

    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting

    assert "task_1" in caplog.text
    (attempt,) = await ledger.attempts(CLIP.fingerprint)
    assert attempt.generation_id == "task_1"


async def test_recording_is_bounded() -> None:
    """A store that never answers ends the tries after a minute, with the id in the error."""

    class Hanging(Store):
        async def create(self, key: str, content: bytes) -> bool:
            if key.endswith("accepted.json"):
                await asyncio.sleep(10_000)
            return await super().create(key, content)

    ledger, began = Ledger(Hanging.open("memory://hanging")), asyncio.get_running_loop().time()

    with pytest.raises(SubmissionUnresolvedError, match="--adopt task_1"):
        await submit(submitter(Api(), ledger), seconds=3600)

    assert asyncio.get_running_loop().time() - began < 90


async def test_own_answer_beats_adopted_id(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """If another id was adopted while the answer was on its way, the answer counts and both are kept."""

    class Adopted(Api):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            (attempt,) = await ledger.attempts(CLIP.fingerprint)
            await ledger.accept(attempt, "task_wrong", resolved_by="a person")
            return await super().handle_async_request(request)

    attempt = await submit(submitter(Adopted(), ledger))

    assert attempt.generation_id == "task_1"
    assert (await ledger.attempts(CLIP.fingerprint))[0].generation_id == "task_1"
    assert "task_wrong" in caplog.text


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "not stored"])
async def test_failed_claim_is_not_unresolved(*, is_stored: bool) -> None:
    """If recording the intent fails, nothing was sent, and the ledger says so."""

    class Failing(Store):
        async def create(self, key: str, content: bytes) -> bool:
            if key.endswith("intent.json"):
                if is_stored:
                    await super().create(key, content)
                raise ArchiveError("fsync: invalid argument")
            return await super().create(key, content)

    ledger, api = Ledger(Failing.open(f"memory://failing claim {is_stored}")), Api()

    with pytest.raises(ArchiveError, match="not submitted"):
        await submit(submitter(api, ledger))

    attempts = await ledger.attempts(CLIP.fingerprint)
    assert not api.sent
    assert [each.outcome and each.outcome.result for each in attempts] == [Result.not_started] * is_stored


async def test_slow_archive_may_buy() -> None:
    """A store that needs nine seconds for each write delays a purchase, and does not prevent it."""

    class Slow(Store):
        async def create(self, key: str, content: bytes) -> bool:
            await asyncio.sleep(9)
            return await super().create(key, content)

    api = Api()

    attempt = await submit(submitter(api, Ledger(Slow.open("memory://slow archive"))))

    assert attempt.intent.number == 1
    assert len(api.sent) == 1


async def test_equal_intents_claim_once(ledger: Ledger) -> None:
    """Of two runs whose intents would be equal but for their nonce, one owns the attempt."""
    intent = submitter(Api(), ledger)._intent(CLIP, await compose(), number=1)
    twin = intent.model_copy(update={"nonce": "another"})

    claims = [await ledger.claim(intent), await ledger.claim(twin), await ledger.claim(intent)]

    assert [claim is not None for claim in claims] == [True, False, True]


async def test_reads_again_before_paying_again(ledger: Ledger) -> None:
    """A success without a URL is read again before another attempt is bought, and its video is used."""
    accepted = await submit(submitter(Api(), ledger))
    empty = Generation(generation_id="task_1", state="success")
    await ledger.conclude(accepted, Outcome.of_generation(empty, model=accepted.intent.model))
    status = {"state": "success", "resultJson": '{"resultUrls": ["https://cdn.example.com/a.mp4"]}'}
    api = Api(httpx.Response(200, json={"code": 200, "message": "success", "data": status}))

    attempt = await submit(submitter(api, ledger, policy=RetryPolicy(retry_failed=True)))

    assert [request.method for request in api.sent] == ["GET"]
    assert attempt.has_video
    assert (await ledger.attempts(CLIP.fingerprint)) == (attempt,)


@pytest.mark.parametrize(
    ("answer", "error", "sent"),
    [
        pytest.param({"state": "processing"}, DeadlineError, ["GET"], id="still working"),
        pytest.param(None, None, ["GET", "POST"], id="unknown"),
        pytest.param({"state": "success"}, None, ["GET", "POST"], id="still without a video"),
    ],
)
async def test_pays_again_only_without_video(
    ledger: Ledger, answer: dict[str, str] | None, error: type[SeedanceError] | None, sent: list[str]
) -> None:
    """A run pays again for a success without a video only if the API neither works on it nor serves it."""
    accepted = await submit(submitter(Api(), ledger))
    empty = Generation(generation_id="task_1", state="success")
    await ledger.conclude(accepted, Outcome.of_generation(empty, model=accepted.intent.model))
    first = httpx.Response(200, json={"code": 200, "data": answer}) if answer else refusal(404)
    api = Api(first)

    with pytest.raises(error) if error else contextlib.nullcontext():
        await submit(submitter(api, ledger, policy=RetryPolicy(retry_failed=True)))

    assert [request.method for request in api.sent] == sent


async def _expire(ledger: Ledger) -> None:
    """Wait until no run may record an answer any more."""
    (attempt,) = await ledger.attempts(CLIP.fingerprint)
    past = attempt.intent.model_copy(update={"settles_by": datetime.now(UTC) - timedelta(seconds=1)})
    await ledger._store.put(f"{attempt.key}intent.json", past.model_dump_json().encode())


@pytest.fixture(autouse=True)
async def _nothing_left_running() -> AsyncIterator[None]:
    """Check that a test leaves no task running."""
    yield
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left
