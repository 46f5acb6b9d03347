"""A client of the API: one method per endpoint, and the only retries of its requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from types import TracebackType
from typing import Self, TypeVar

import httpx

from prefect_seedance.api.account import REQUESTS_PER_MINUTE, Account, checked_key
from prefect_seedance.api.announcements import note_announcement
from prefect_seedance.api.bodies import ACCEPT_ENCODING
from prefect_seedance.api.clip_check import problems
from prefect_seedance.api.connections import CheckedTransport, checked
from prefect_seedance.api.counted import counted
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.permit import Permit, check_permit
from prefect_seedance.api.proxies import api_proxy
from prefect_seedance.api.refusals import explained
from prefect_seedance.api.responses import balance_in, checked_id, parse_response, submitted_id
from prefect_seedance.api.retry import retry
from prefect_seedance.api.tls import tls_context
from prefect_seedance.api.transport import exchange, timeouts
from prefect_seedance.api.urls import checked_base_url, origin
from prefect_seedance.api.wire import DEFAULT_BASE_URL, GenerateRequest, Generation
from prefect_seedance.doors import account
from prefect_seedance.errors import (
    ApiError,
    ConnectionFailedError,
    InvalidRequestError,
    NoAnswerError,
    RateLimitedError,
    SeedanceError,
    SetupError,
    may_retry_read,
    may_retry_submission,
)
from prefect_seedance.options import Waiting

REQUEST_TIMEOUT_SECONDS = Waiting().timeout_seconds

_READ_TIMEOUT_SECONDS = 15.0
"""Shorter than for submissions: a status is polled again anyway, and a hanging request delays the others."""

_MAX_CONCURRENT = 16
"""Concurrent submissions, and concurrent reads. Further requests wait outside httpx, because the cost of its
connection pool grows with the square of the requests that wait in it. 16 suffice for 10,000 requests a minute
if each takes less than 0.1 s."""

_T = TypeVar("_T")


class SeedanceClient:
    """A client for one account. Use it as an async context manager, within one event loop.

    Args:
        api_key: Sent to the base URL's host and nowhere else.
        base_url: Scheme and host of the API, optionally with a path before ``/api``.
        model: Id of the model, the last segment of the endpoints' paths.
        timeout_seconds: Bound of one request; reads are bounded by 15 seconds as well.
        requests_per_minute: Limit of this client; all clients of the account together keep the highest one.
        account: Limits and refusals. Default: those that all clients of this key and host share.
        transport: Replaces the network, for tests.

    Raises:
        SetupError: If the key, the base URL or a proxy is invalid.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        model: str = DEFAULT_MODEL,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        requests_per_minute: float = REQUESTS_PER_MINUTE,
        account: Account | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self.model = model
        self.requests_per_minute = requests_per_minute
        self.account = account or Account.of(self.base_url, checked_key(api_key))
        self._timeout_seconds = timeout_seconds
        self._headers = {
            "Authorization": f"Bearer {checked_key(api_key)}",
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
        }
        self._submit_gate = asyncio.Semaphore(_MAX_CONCURRENT)
        self._read_gate = asyncio.Semaphore(_MAX_CONCURRENT)
        # If a server closes an idle connection just as it is reused, it is unknown whether the request
        # arrived. Therefore every paid request uses a new connection.
        paid = (
            CheckedTransport(transport, check_permit)
            if transport
            else checked(self._transport(keepalive=0), check_permit)
        )
        self._submissions = self._http(timeout_seconds, paid)
        free = transport or self._transport(keepalive=_MAX_CONCURRENT)
        self._reads = self._http(min(timeout_seconds, _READ_TIMEOUT_SECONDS), free)
        self._exits = AsyncExitStack()

    def _transport(self, *, keepalive: int) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=_MAX_CONCURRENT, max_keepalive_connections=keepalive)
        return httpx.AsyncHTTPTransport(verify=tls_context(), limits=limits, proxy=api_proxy(self.base_url))

    def _http(self, timeout_seconds: float, transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers=self._headers,
            timeout=timeouts(timeout_seconds),
            follow_redirects=False,  # a redirect could send the key to another host
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._submissions)
        await self._exits.enter_async_context(self._reads)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r}, model={self.model!r})"

    @property
    def timeout_seconds(self) -> float:
        """Bound of one request."""
        return self._timeout_seconds

    @asynccontextmanager
    async def admission(self, *, model: str | None = None) -> AsyncIterator[None]:
        """Wait until a request may be submitted, and the API can be reached.

        Record the intent and submit inside. Then a recorded request is sent soon, or not at all.

        Raises:
            ApiError: If the API refused key, balance or model, or redirected, within the last minute.
        """
        async with self._submit_gate:
            while True:
                async with self.account.admission(self.requests_per_minute, model=model or self.model):
                    if await self._is_reachable():
                        yield
                        return

    async def _is_reachable(self) -> bool:
        """After a failed connection, return whether a free request, which leaves no record, connects."""
        lane = self.account.submissions
        if not isinstance(lane.refusal, ConnectionFailedError):
            return True
        try:
            async with lane.request(self.requests_per_minute):
                await self._exchange(self._reads, self._balance_request())
        except (ConnectionFailedError, RateLimitedError):
            return False
        except SeedanceError:
            return True
        return True

    async def submit(
        self, request: GenerateRequest, *, model: str | None = None, permit: Permit | None = None
    ) -> str:
        """Start a generation, which costs money, and return its id.

        Retries only what cannot have started a generation: failed connections and 429. Call it inside
        `admission`.

        Args:
            request: What to generate.
            model: The model that generates it. Default: this client's.
            permit: Ends the tries, and records whether a generation may have been started. Default: one that
                lasts as long as one request.

        Raises:
            InvalidRequestError: If the model would refuse the input; nothing was sent.
            NotSentError: If the permit ended before a request was sent.
            ServerError: If the API failed; a generation may have been started.
            NoAnswerError: If no usable response arrived; a generation may have been started.
            ApiError: If the API refused the request; no generation was started.
            ConnectionFailedError: If the API could not be reached; no generation was started.
        """
        model = model or self.model
        if found := problems(request.input, model=model):
            raise InvalidRequestError("; ".join(f"{field} {message}" for field, message in found))
        permit, lane = permit or Permit.lasting(self._timeout_seconds), self.account.submissions

        async def post() -> object:
            async with AsyncExitStack() as turn:
                async with permit.waiting():
                    await turn.enter_async_context(lane.request(self.requests_per_minute))
                return await self._post(request, permit, model=model)

        async def pause(seconds: float) -> None:
            async with permit.waiting():
                await asyncio.sleep(seconds)

        seconds = permit.deadline - asyncio.get_running_loop().time()
        try:
            data = await retry(post, may_retry=may_retry_submission, seconds=seconds, lane=lane, sleep=pause)
        except ApiError as error:
            understood = await explained(error, model=model, read_balance=self._read_balance)
            self.account.learn(understood, model=model)
            raise understood from None
        return submitted_id(data)

    async def _post(self, request: GenerateRequest, permit: Permit, *, model: str) -> object:
        """Send a submission, unless its permit ends before the last byte is written."""
        url, http = self._url("generateTask", base_url=self.base_url, model=model), self._submissions
        permit.check()
        message = http.build_request("POST", url, json=request.body(model=model))
        try:
            with permit.in_use():
                return await self._exchange(http, message)
        except SeedanceError as error:
            if not (error.outcome_known or permit.may_have_started):
                # For example, the request's time was over before its connection was made.
                raise ConnectionFailedError(f"{error}; nothing was sent") from None
            permit.may_have_started = not error.outcome_known
            raise

    async def status(
        self,
        generation_id: str,
        *,
        model: str | None = None,
        base_url: str | None = None,
        retry_seconds: float = 30.0,
    ) -> Generation:
        """Read the state of one generation.

        Args:
            generation_id: The ``taskId`` that the API returned for the submission.
            model: The generation's model. Default: this client's.
            base_url: The API that it was submitted to, which must be on this client's host.
            retry_seconds: How long to retry transient errors; with 0, one request is sent.

        Raises:
            NotFoundError: If the API does not know the generation, or not yet.
            SetupError: If ``base_url`` is on another host, where the key must not be sent.
            SeedanceError: If no successful response arrived in time.
        """
        url = self._url("statusTask", base_url=self._on_own_host(base_url), model=model or self.model)

        async def get() -> Generation:
            params = {"taskId": checked_id(generation_id)}
            data = await self._get(self._reads.build_request("GET", url, params=params))
            if not isinstance(data, dict):
                raise NoAnswerError(f"The status response for generation {generation_id} has no data")
            return Generation.from_status(data, generation_id=generation_id)

        return await self._retry_read(get, retry_seconds)

    async def balance(self, *, seconds: float = 30.0) -> Decimal:
        """Read how many US dollars the account has left; then submissions are admitted again.

        Args:
            seconds: How long to retry; 0 sends one request.

        Raises:
            SeedanceError: If no successful response arrived in this time.
        """
        balance = await self._retry_read(self._read_balance, seconds)
        self.account.forgive(balance)
        return balance

    async def _read_balance(self) -> Decimal:
        return balance_in(await self._get(self._balance_request()))

    def _url(self, endpoint: str, *, base_url: str, model: str) -> str:
        return f"{base_url}/api/v1/{endpoint}/{model}"

    def _on_own_host(self, base_url: str | None) -> str:
        """Return the base URL of a generation, after checking that the key may be sent there."""
        if base_url in (None, self.base_url):
            return self.base_url
        recorded = checked_base_url(base_url)
        if origin(recorded) != origin(self.base_url):
            raise SetupError(
                f"The generation was submitted to {recorded}, but the credentials are for {self.base_url}. "
                f"The key is only sent to its own host; to continue, set {recorded} as {account('base_url')}"
            )
        return recorded

    async def _retry_read(self, read: Callable[[], Awaitable[_T]], seconds: float) -> _T:
        return await retry(read, may_retry=may_retry_read, seconds=seconds, lane=self.account.reads)

    def _balance_request(self) -> httpx.Request:
        return self._reads.build_request("GET", f"{self.base_url}/api/v1/apikeys/current-balance")

    async def _get(self, request: httpx.Request) -> object:
        """Send a request that costs nothing, when its turn has come."""
        async with self._read_gate, self.account.reads.request(self.requests_per_minute):
            return await self._exchange(self._reads, request)

    async def _exchange(self, http: httpx.AsyncClient, request: httpx.Request) -> object:
        """Send one request, and return the ``data`` of a successful response."""
        with counted(request) as answered:
            response = await exchange(http, request)
            answered(response)
            note_announcement(response, known=self.account.announcements)
            return parse_response(response)
