"""One account's limits, shared by everything in the process."""

import asyncio
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial

from prefect_seedance.api.announcements import Announcement
from prefect_seedance.api.lane import Lane
from prefect_seedance.api.pace import Pace
from prefect_seedance.api.refusals import is_out_of_order, unavailable
from prefect_seedance.api.slots import Slots
from prefect_seedance.api.throttling import Throttling
from prefect_seedance.api.urls import origin
from prefect_seedance.doors import account
from prefect_seedance.errors import (
    MODEL_UNAVAILABLE,
    ApiError,
    AuthenticationError,
    ConnectionFailedError,
    FailKind,
    InsufficientFundsError,
    ModelUnavailableError,
    RateLimitedError,
    RedirectedError,
    SetupError,
)

REQUESTS_PER_MINUTE = 10_000
GENERATIONS_IN_FLIGHT = 1_000
"""The account's limits. Source: the project's specification."""

_REFUSAL_SECONDS = 60.0
"""How long to remember that every submission is refused: afterwards one of them finds out."""

_EVERY_MODEL = ""
"""What a refusal concerns that is not about one model."""

_DIGITS = 12
"""Of a digest, enough to distinguish the accounts of a host."""

_ACCOUNTS: dict[str, "Account"] = {}
_ACCOUNTS_LOCK = threading.Lock()


class Account:
    """One account's limits in this process, for all its clients in all event loops and threads.

    Attributes:
        reads: Requests that cost nothing.
        submissions: Paid requests. They also pause while the API cannot be reached, so that a long outage
            does not fill the ledger with attempts that started nothing.
        slots: One for each generation in flight.
        announcements: Of the end of models, by their ids.
        throttling: When the API refused requests because of a limit.
    """

    def __init__(self, name: str = "") -> None:
        self.throttling = Throttling(name)
        self.announcements: dict[str, Announcement] = {}
        self._refusals: dict[str, tuple[ApiError, float]] = {}
        self.slots = Slots()
        pace = Pace(ceiling=lambda: self.slots.requests_per_minute)
        self.reads = Lane(pace, on_refusal=partial(self.throttling.note, "reads"))
        self.submissions = Lane(
            pace,
            refusals=(RateLimitedError, ConnectionFailedError),
            on_refusal=partial(self.throttling.note, "submissions"),
        )

    @classmethod
    def of(cls, base_url: str, api_key: str) -> "Account":
        """Return the account of this key at this URL's host, the same for the whole process."""
        digest = _digest(base_url, api_key)
        with _ACCOUNTS_LOCK:
            if digest not in _ACCOUNTS:
                _ACCOUNTS[digest] = cls(account_name(base_url, api_key))
            return _ACCOUNTS[digest]

    @asynccontextmanager
    async def admission(self, requests_per_minute: float, *, model: str = "") -> AsyncIterator[None]:
        """Wait until a submission may be sent, and record and send it inside.

        Args:
            requests_per_minute: The sender's limit.
            model: Of the submission.

        Raises:
            ApiError: If the API refused key, balance or model, or redirected, within the last minute.
        """
        self._require_acceptance(model)  # before the pace, or many submissions would be refused one by one
        async with self.submissions.admission(requests_per_minute):
            self._require_acceptance(model)
            yield

    def _require_acceptance(self, model: str) -> None:
        for subject in (_EVERY_MODEL, model):
            if seconds := self._refused_seconds(subject):
                refusal, _ = self._refusals[subject]
                # A copy, because the traceback of one error would grow with every raise.
                pause = f"; the next submission is sent in {seconds:.0f} s at the earliest"
                raise type(refusal)(f"{refusal}{'' if subject else pause}", code=refusal.code)

    @property
    def refused_seconds(self) -> float:
        """How long to submit nothing, because every submission is refused; 0 if it is not."""
        return self._refused_seconds(_EVERY_MODEL)

    def _refused_seconds(self, subject: str) -> float:
        if subject not in self._refusals:
            return 0.0
        return max(0.0, self._refusals[subject][1] - asyncio.get_running_loop().time())

    def announced(self, models: Iterable[str]) -> tuple[Announcement, ...]:
        """Return what the API announces about these models."""
        known = self.announcements
        return tuple(known[model] for model in dict.fromkeys(models) if model in known)

    def learn(self, error: ApiError, *, model: str) -> None:
        """Admit no submission for a minute if the API refused key or balance, or none of a refused model."""
        if isinstance(error, AuthenticationError | InsufficientFundsError | RedirectedError):
            self.refuse(error)
        elif isinstance(error, ModelUnavailableError):
            self.refuse(error, model=model)
        elif is_out_of_order(error):
            self.refuse(unavailable(model, reason=str(error), code=error.code), model=model)

    def learn_failure(self, kind: FailKind | None, code: str | None, *, model: str) -> None:
        """Admit no submission for a minute if a generation failed for lack of money, or of its model."""
        if kind is FailKind.money:
            self.refuse(InsufficientFundsError(f"A generation failed with {code}; add credit to the account"))
        elif code == MODEL_UNAVAILABLE:
            self.refuse(unavailable(model, reason=f"a generation failed with {code}"), model=model)

    def refuse(self, error: ApiError, *, model: str = _EVERY_MODEL) -> None:
        """Admit no submission for a minute, or none of one model."""
        self._refusals[model] = error, asyncio.get_running_loop().time() + _REFUSAL_SECONDS

    def forgive(self, balance: Decimal) -> None:
        """Admit submissions again, because the API accepts the key and reports a balance."""
        refusal, _ = self._refusals.get(_EVERY_MODEL, (None, 0.0))
        if balance > 0 or not isinstance(refusal, InsufficientFundsError):
            self._refusals.pop(_EVERY_MODEL, None)


def account_name(base_url: str, api_key: str) -> str:
    """Return a name of the account of this key at this URL's host, from which the key cannot be computed."""
    _, host, port = origin(base_url)
    plain = re.sub(r"[^a-z0-9.]+", "-", f"{host}-{port or ''}").strip("-")
    return f"seedance-{plain}-{_digest(base_url, api_key)[:_DIGITS]}"


def _digest(base_url: str, api_key: str) -> str:
    return hashlib.sha256(repr((origin(base_url), api_key)).encode()).hexdigest()


def checked_key(api_key: str) -> str:
    """Return an API key unchanged, if it can be one.

    Raises:
        SetupError: If it cannot.
    """
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise SetupError(f"The API key is empty or contains invalid characters; check {account('api_key')}")
    return api_key
