"""One account's limits, shared by everything in the process."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal

from prefect_seedance.api.announcements import Announcement
from prefect_seedance.api.lane import Lane
from prefect_seedance.api.pace import Pace
from prefect_seedance.api.refusals import is_out_of_order, unavailable
from prefect_seedance.api.turns import Turns
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
    """

    def __init__(self) -> None:
        self.announcements: dict[str, Announcement] = {}
        self._refusals: dict[str, tuple[ApiError, float]] = {}
        pace = Pace()
        self.reads = Lane(pace)
        self.submissions = Lane(pace, refusals=(RateLimitedError, ConnectionFailedError))
        self.slots = Slots()

    @classmethod
    def of(cls, base_url: str, api_key: str) -> "Account":
        """Return the account of this key at this URL's host, the same for the whole process."""
        digest = hashlib.sha256(repr((origin(base_url), api_key)).encode()).hexdigest()
        with _ACCOUNTS_LOCK:
            return _ACCOUNTS.setdefault(digest, cls())

    @asynccontextmanager
    async def admission(self, *, model: str = "") -> AsyncIterator[None]:
        """Wait until a submission may be recorded, and record and send it inside.

        Raises:
            ApiError: If the API refused key, balance or model, or redirected, within the last minute.
        """
        async with self.submissions.admission():
            for subject in (_EVERY_MODEL, model):
                if seconds := self._refused_seconds(subject):
                    refusal, _ = self._refusals[subject]
                    # A copy, because the traceback of one error would grow with every raise.
                    pause = f"; the next submission is sent in {seconds:.0f} s at the earliest"
                    raise type(refusal)(f"{refusal}{'' if subject else pause}", code=refusal.code)
            yield

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


class Slots:
    """The generations in flight, limited by what each run believes the account's limit to be."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._taken: set[Slot] = set()

    async def acquire(self, *, limit: int, deadline: float) -> "Slot":
        """Wait until fewer slots than a limit are taken, and take one.

        Args:
            limit: Other runs may have another limit; a lower one does not block them.
            deadline: By the event loop's clock. If it is over, take a free slot or none.

        Raises:
            TimeoutError: If no slot was free before the deadline.
        """
        slot = Slot()

        def take(_: float) -> bool:
            if len(self._taken) >= limit:
                return False
            self._taken.add(slot)
            return True

        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.take(take)
        except BaseException:
            self.release(slot)
            raise
        return slot

    def take(self) -> "Slot":
        """Take a slot, even beyond the limit, for a generation that is in flight already."""
        slot = Slot()
        with self._turns.lock:
            self._taken.add(slot)
        return slot

    def release(self, slot: "Slot") -> None:
        """Make room for another generation; a second call has no effect."""
        with self._turns.lock:
            self._taken.discard(slot)
            self._turns.serve()


class Slot:
    """The room of one generation in flight."""


def checked_key(api_key: str) -> str:
    """Return an API key unchanged, if it can be one.

    Raises:
        SetupError: If it cannot.
    """
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise SetupError(f"The API key is empty or contains invalid characters; check {account('api_key')}")
    return api_key
