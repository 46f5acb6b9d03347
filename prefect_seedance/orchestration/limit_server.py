"""Lease slots of a global concurrency limit from the Prefect server."""

import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.responses import ConcurrencyLimitWithLeaseResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectException
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from prefect_seedance.errors import ConnectionFailedError
from prefect_seedance.printable import one_line

LEASE_SECONDS: Final = 120.0
"""How long a killed process keeps its slots: about as long as its generations stay in flight."""

_REQUEST_SECONDS = 10.0
"""Bound of one request, because leases have to be renewed meanwhile."""

_BUSY_SECONDS = (0.25, 0.5, 1.0, 2.0)
"""Pauses before a request is sent again that a server with SQLite refuses while its database is busy."""

_T = TypeVar("_T")


class Limit(NamedTuple):
    """The state of a global concurrency limit.

    Attributes:
        size: The number of its slots.
        taken: How many of them are leased.
    """

    size: int
    taken: int


class NoLimitError(Exception):
    """The global concurrency limit does not exist."""


@dataclass(frozen=True)
class LimitServer:
    """The concurrency limits of a Prefect server.

    It sends the requests of `prefect.concurrency.concurrency` one by one, because that context manager cannot
    return a part of its slots, and does not report a lost lease.

    All methods raise `ConnectionFailedError` if the server does not answer.
    """

    client: SyncPrefectClient
    lease_seconds: float

    @classmethod
    @contextmanager
    def connected(cls, *, lease_seconds: float = LEASE_SECONDS) -> Iterator["LimitServer"]:
        """Connect to the configured server, without the retries of Prefect's client, which take minutes."""
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            client = get_client({"timeout": _REQUEST_SECONDS}, sync_client=True)
            _answer(client.__enter__)
            try:
                yield cls(client, lease_seconds)
            finally:
                client.__exit__()

    def read(self, name: str) -> Limit:
        """Read a limit.

        Raises:
            NoLimitError: If there is none.
        """
        found = _answer(lambda: self.client.read_global_concurrency_limit_by_name(name))
        if found is None:
            raise NoLimitError(name)
        return Limit(found.limit, found.active_slots)

    def create(self, name: str, *, size: int) -> bool:
        """Create a limit, unless it exists, and return whether it was created."""
        wanted = GlobalConcurrencyLimitCreate(name=name, limit=size)
        return _answer(lambda: self.client.create_global_concurrency_limit(wanted)) is not None

    def lease(self, name: str, *, slots: int) -> UUID | None:
        """Take slots, and return the id of their lease; None if fewer are free.

        Raises:
            NoLimitError: If there is no such limit.
        """
        refusals = {httpx.codes.LOCKED, httpx.codes.UNPROCESSABLE_ENTITY}

        def send() -> ConcurrencyLimitWithLeaseResponse:
            response = self.client.increment_concurrency_slots_with_lease(
                [name], slots=slots, mode="concurrency", lease_duration=self.lease_seconds
            )
            return ConcurrencyLimitWithLeaseResponse.model_validate(response.json())

        answer = _answer(send, refusals=refusals)
        if answer is None:
            return None
        if not answer.limits:
            raise NoLimitError(name)
        return answer.lease_id

    def renew(self, lease: UUID) -> bool:
        """Renew a lease, and return whether the server still knows it."""
        done = _answer(
            lambda: _done(self.client.renew_concurrency_lease(lease, lease_duration=self.lease_seconds)),
            refusals={httpx.codes.GONE},
        )
        return done is not None

    def give_back(self, lease: UUID) -> None:
        """Return the slots of a lease."""
        _answer(lambda: _done(self.client.release_concurrency_slots_with_lease(lease)))

    def correct(self, name: str, *, slots: int) -> None:
        """Return slots whose lease the server has forgotten, as it does in a restart, but still counts."""
        _answer(
            lambda: _done(self.client.release_concurrency_slots([name], slots=slots, occupancy_seconds=1.0))
        )


def _answer(send: Callable[[], _T], *, refusals: Container[int] = ()) -> _T | None:
    """Send a request, and return the answer; None if the server refuses it as expected.

    Raises:
        ConnectionFailedError: If the server does not answer, or otherwise than expected.
    """
    try:
        return _patiently(send)
    except (ObjectNotFound, ObjectAlreadyExists):
        return None
    except httpx.HTTPStatusError as error:
        if error.response.status_code in refusals:
            return None
        raise ConnectionFailedError(f"it answered {error.response.status_code}") from error
    except (httpx.HTTPError, PrefectException) as error:
        raise ConnectionFailedError(one_line(str(error)) or type(error).__name__) from error
    except (ValueError, KeyError) as error:  # such as the page of a proxy, with status 200
        raise ConnectionFailedError("it answered otherwise than a Prefect server") from error


def _done(response: httpx.Response) -> Literal[True]:
    """Check that the server carried out a request: it answers without content, or with JSON.

    Raises:
        ValueError: If it answers otherwise.
    """
    if response.content:
        response.json()
    return True


def _patiently(send: Callable[[], _T]) -> _T:
    """Send a request, again while the server's database is busy."""
    for seconds in _BUSY_SECONDS:
        try:
            return send()
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                raise
        time.sleep(seconds)
    return send()
