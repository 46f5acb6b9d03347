"""The API over HTTP: one method per endpoint, and the only place that repeats its requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import httpx
import tenacity

from prefect_seedance.api import wire as models
from prefect_seedance.api.account import Limiter
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.responses import parse_response
from prefect_seedance.api.transport import timeouts, translated_errors
from prefect_seedance.api.urls import parse_url
from prefect_seedance.api.wire import DEFAULT_BASE_URL, GenerateRequest, Generation
from prefect_seedance.errors import (
    ApiError,
    AuthenticationError,
    InsufficientFundsError,
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
"""A status is read again anyway, so one that hangs is not worth holding up the others."""

_GATE = 16
"""Requests of a kind under way at once: httpx's pool slows down with the square of what waits in it, so
the rest wait before it. 16 carry 10,000 requests a minute as long as each takes under 0.1 s."""

_T = TypeVar("_T")


@dataclass
class Sending:
    """What a submission has come to, for whoever may have to cancel it.

    Attributes:
        may_have_started: Whether a generation may exist that nobody has an answer about yet.
    """

    may_have_started: bool = False


class SeedanceClient:
    """The API for one account. Use as an async context manager, within one event loop.

    Args:
        api_key: Sent to the base URL's host and nowhere else.
        base_url: Scheme and host of the API, perhaps with a path before ``/api``.
        model: The last segment of the endpoints' paths.
        timeout_seconds: Bound of one request; reading a status never takes more than 15.
        limiter: The account's budget, to be shared by all clients of the account.
        transport: Replaces the network, for tests.

    Raises:
        SetupError: If the key cannot stand in a header, or the base URL is none.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        model: str = DEFAULT_MODEL,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        limiter: Limiter | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = _checked_url(base_url)
        self.model = model
        self.limiter = limiter or Limiter()
        self._timeout_seconds = timeout_seconds
        self._headers = {"Authorization": f"Bearer {_checked_key(api_key)}", "Accept": "application/json"}
        self._submit_gate = asyncio.Semaphore(_GATE)
        self._read_gate = asyncio.Semaphore(_GATE)
        # A server may close an idle connection in the moment that it is used again, and then nobody can
        # tell whether the request arrived. A paid request therefore always travels on a new connection.
        self._submissions = self._http(timeout_seconds, keepalive=0, transport=transport)
        read_seconds = min(timeout_seconds, _READ_TIMEOUT_SECONDS)
        self._reads = self._http(read_seconds, keepalive=_GATE, transport=transport)
        self._account_refused: ApiError | None = None
        self._exits = AsyncExitStack()

    def _http(
        self, timeout_seconds: float, *, keepalive: int, transport: httpx.AsyncBaseTransport | None
    ) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers=self._headers,
            timeout=timeouts(timeout_seconds),
            limits=httpx.Limits(max_connections=_GATE, max_keepalive_connections=keepalive),
            follow_redirects=False,  # a redirect would carry the key away
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
    def submission_seconds(self) -> float:
        """How long one `submit` takes at most: it starts nothing new in the second half of this time."""
        return 2 * self._timeout_seconds

    @asynccontextmanager
    async def admission(self) -> AsyncIterator[None]:
        """Wait for one's turn to submit: what is written down in here is sent at once, or not at all.

        Raises:
            AuthenticationError: If the API has refused the key before: it would refuse it again.
            InsufficientFundsError: If the balance was too low before, likewise.
        """
        async with self._submit_gate:
            await self.limiter.wait_for_pause()
            if refused := self._account_refused:
                raise type(refused)(str(refused), code=refused.code)  # anew: one's traceback would grow
            yield

    async def submit(self, request: GenerateRequest, *, sending: Sending | None = None) -> str:
        """Start a generation, which costs money, and return its id.

        Repeats only what is certain to have started nothing: refused connections and 429. Call it
        within `admission`.

        Args:
            request: What to generate.
            sending: Is kept true while this goes on.

        Raises:
            InvalidRequestError: If the model would refuse the input; then nothing is sent.
            ServerError: If the API broke down; a generation may have been started.
            NoAnswerError: If no usable answer came; a generation may have been started.
            ApiError: If the API refuses; nothing was started.
            ConnectionFailedError: If the API could not be reached; nothing was started.
        """
        if found := models.problems(request.input, model=self.model):
            raise InvalidRequestError("; ".join(f"{field} {message}" for field, message in found))
        latest = asyncio.get_running_loop().time() + self._timeout_seconds
        url = self._url("generateTask", base_url=self.base_url, model=self.model)
        sending = sending or Sending()

        async def post() -> object:
            try:
                async with asyncio.timeout_at(latest):
                    await self.limiter.acquire()
            except TimeoutError:
                raise RateLimitedError("The request limit left no time to submit; nothing was sent") from None
            http = self._submissions
            sending.may_have_started = True
            try:
                return await self._exchange(http, http.build_request("POST", url, json=request.body()))
            except SeedanceError as error:
                sending.may_have_started = not error.outcome_known
                raise

        try:
            data = await _repeated(post, may_repeat=may_retry_submission, seconds=self._timeout_seconds)
        except (AuthenticationError, InsufficientFundsError) as error:
            self._account_refused = error
            raise
        generation_id = data.get("taskId") if isinstance(data, dict) else None
        if not isinstance(generation_id, str) or not generation_id:
            raise NoAnswerError(f"The submission was answered without a taskId: {str(data)[:200]}")
        return generation_id

    async def status(
        self,
        generation_id: str,
        *,
        model: str | None = None,
        base_url: str | None = None,
        patience_seconds: float = 30.0,
    ) -> Generation:
        """Read the state of one generation.

        Args:
            generation_id: The ``taskId`` of the submission's answer.
            model: The model that was asked, if not this client's.
            base_url: Where it was asked; must be on this client's host.
            patience_seconds: How long to repeat what fails transiently; 0 asks once.

        Raises:
            NotFoundError: If the API does not know the generation, or not yet.
            SetupError: If ``base_url`` is another host: the key belongs to this client's.
            SeedanceError: If there was no good answer in time.
        """
        url = self._url("statusTask", base_url=self._own(base_url), model=model or self.model)

        async def get() -> Generation:
            http = self._reads
            async with self._read_gate:
                await self.limiter.acquire()
                request = http.build_request("GET", url, params={"taskId": generation_id})
                data = await self._exchange(http, request)
            if not isinstance(data, dict):
                raise NoAnswerError(f"The status of {generation_id} was answered without data")
            return Generation.from_status(data, generation_id=generation_id)

        return await _repeated(get, may_repeat=may_retry_read, seconds=patience_seconds)

    def _url(self, endpoint: str, *, base_url: str, model: str) -> str:
        return f"{base_url}/api/v1/{endpoint}/{model}"

    def _own(self, base_url: str | None) -> str:
        """Return where to ask, refusing to take the key to a host that it does not belong to."""
        if base_url is None:
            return self.base_url
        recorded = _checked_url(base_url)
        ours, theirs = httpx.URL(self.base_url), httpx.URL(recorded)
        if (ours.scheme, ours.host, ours.port) != (theirs.scheme, theirs.host, theirs.port):
            raise SetupError(
                f"The generation was submitted to {recorded}, and the credentials are for {self.base_url}. "
                f"The key is only ever sent to its own host: continue with SEEDANCE_BASE_URL={recorded}"
            )
        return recorded

    async def _exchange(self, http: httpx.AsyncClient, request: httpx.Request) -> object:
        """Send one request and return the ``data`` of a good answer."""
        with translated_errors(f"{request.method} {request.url}"):
            async with asyncio.timeout(http.timeout.read):
                response = await http.send(request)
        try:
            data = parse_response(response)
        except RateLimitedError as error:
            self.limiter.pause(error.retry_after_seconds)
            raise
        self.limiter.speed_up()
        return data


async def _repeated(
    ask: Callable[[], Awaitable[_T]],
    *,
    may_repeat: Callable[[BaseException], bool],
    seconds: float,
) -> _T:
    """Ask until it goes well, or may not be repeated, or the next try would begin after ``seconds``."""
    clock = asyncio.get_running_loop().time
    latest = clock() + seconds
    jittered = tenacity.wait_exponential(multiplier=0.5, max=15) + tenacity.wait_random(0, 0.5)
    tries = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(may_repeat),
        wait=lambda state: _asked_pause(state) or jittered(state),
        stop=lambda state: clock() + state.upcoming_sleep >= latest,
        sleep=asyncio.sleep,
        reraise=True,
    )
    return await tries(ask)


def _asked_pause(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_seconds if isinstance(error, RateLimitedError) else None


def _checked_key(api_key: str) -> str:
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise SetupError("The API key is empty or has characters that no key has; check SEEDANCE_API_KEY")
    return api_key


def _checked_url(base_url: str) -> str:
    url = parse_url(base_url)
    # A name and password would take the place of the key, and be written into the ledger.
    if url is None or url.userinfo or url.query or url.fragment:
        shown = base_url.rpartition("@")[2].partition("?")[0]
        raise SetupError(f"The base URL {shown!r} is not like https://host/path; check SEEDANCE_BASE_URL")
    return base_url.rstrip("/")
