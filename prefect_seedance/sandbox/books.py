"""The books: a record of all requests, generations and bytes, which tests and campaigns check."""

from collections import defaultdict
from collections.abc import Container
from dataclasses import asdict, dataclass, field

from prefect_seedance.sandbox.clock import unix_ms
from prefect_seedance.sandbox.generation import Generation
from prefect_seedance.sandbox.minute import SlidingMinute

_FOREIGN_HEADERS = ("authorization", "proxy-authorization", "cookie")
"""Headers for the API alone; sent to any other endpoint, they are a leak."""

_MIN_KEY_LENGTH = 8
"""Four characters of a shorter key would reveal too much of it."""


@dataclass(frozen=True)
class ForeignHeader:
    """A header that a client sent to an endpoint where it does not belong."""

    where: str
    header: str
    path: str
    at_ms: int


@dataclass(frozen=True)
class CallbackAttempt:
    """One delivery of a callback and its result: an HTTP status, or the name of the error."""

    at_ms: int
    outcome: int | str


@dataclass
class Account:
    """The counters of one generation."""

    generation: Generation
    billed_seconds: int
    status_reads: int = 0
    file_requests: int = 0
    file_bytes: int = 0
    callbacks: list[CallbackAttempt] = field(default_factory=list)

    def entry(self) -> dict[str, object]:
        """Return the account as JSON data; it includes the last four characters of a long API key."""
        generation, submission = self.generation, self.generation.submission
        key = generation.api_key
        return {
            "taskId": generation.task_id,
            "model": generation.model,
            "request_type": submission.request_type,
            "provider": submission.provider,
            "callback_url": submission.callback_url or None,
            "input": submission.input.model_dump(mode="json"),
            "identity": generation.identity,
            "prompt": generation.prompt,
            "accepted_at": generation.created_ms,
            "state": generation.state,
            "fail_code": generation.failure.code if generation.failure else None,
            "billed_seconds": self.billed_seconds,
            "api_key_end": key[-4:] if len(key) >= _MIN_KEY_LENGTH else "",
            "status_reads": self.status_reads,
            "file_requests": self.file_requests,
            "file_bytes": self.file_bytes,
            "callbacks": [asdict(attempt) for attempt in self.callbacks],
        }


@dataclass
class Books:
    """The counters and accounts of the sandbox, which keeps no other state of past requests."""

    accounts: dict[str, Account] = field(default_factory=dict)
    accepted: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The task ids accepted for each identity."""
    submits_received: int = 0
    status_reads: int = 0
    file_requests: int = 0
    file_bytes: int = 0
    paid_seconds: int = 0
    over_limits: int = 0
    """The requests refused with 429; those that a fault refuses do not count."""
    in_flight: int = 0
    max_in_flight: int = 0
    received: SlidingMinute = field(default_factory=SlidingMinute)
    """All API requests."""
    admitted: SlidingMinute = field(default_factory=SlidingMinute)
    """The API requests within the rate limit."""
    foreign_headers: list[ForeignHeader] = field(default_factory=list)

    def clear(self) -> None:
        """Reset all counters and accounts."""
        vars(self).update(vars(Books()))

    def receive_submit(self) -> None:
        """Count a submit request, accepted or not."""
        self.received.add()
        self.submits_received += 1

    def receive_status_read(self, task_id: str) -> None:
        """Count a status read, including one of an unknown id."""
        self.received.add()
        self.status_reads += 1
        if task_id in self.accounts:
            self.accounts[task_id].status_reads += 1

    def accept(self, generation: Generation) -> Account:
        """Open the account of a generation and bill it."""
        account = Account(generation, billed_seconds=generation.submission.input.duration)
        self.accounts[generation.task_id] = account
        self.accepted[generation.identity].append(generation.task_id)
        self.paid_seconds += account.billed_seconds
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        return account

    def receive_file_request(self, task_id: str) -> None:
        """Count a request for a result file."""
        self.file_requests += 1
        if task_id in self.accounts:
            self.accounts[task_id].file_requests += 1

    def send_file_bytes(self, task_id: str, count: int) -> None:
        """Count the bytes sent of a result file."""
        self.file_bytes += count
        if task_id in self.accounts:
            self.accounts[task_id].file_bytes += count

    def record_headers(self, where: str, *, path: str, headers: Container[str]) -> None:
        """Record headers that only the API may receive."""
        self.foreign_headers += [
            ForeignHeader(where, header, path, unix_ms()) for header in _FOREIGN_HEADERS if header in headers
        ]

    def duplicates(self) -> dict[str, list[str]]:
        """Return the identities accepted more than once, with their task ids."""
        return {identity: ids for identity, ids in self.accepted.items() if len(ids) > 1}

    def totals(self) -> dict[str, int]:
        """Return the totals over all generations and requests."""
        return {
            "accepted": len(self.accounts),
            "paid_seconds": self.paid_seconds,
            "duplicates": len(self.duplicates()),
            "submits_received": self.submits_received,
            "status_reads": self.status_reads,
            "file_requests": self.file_requests,
            "file_bytes": self.file_bytes,
            "callbacks": sum(len(account.callbacks) for account in self.accounts.values()),
            "worst_minute_requests": self.received.worst,
            "over_limits": self.over_limits,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "foreign_headers": len(self.foreign_headers),
        }

    def report(self) -> dict[str, object]:
        """Return the books as JSON data."""
        return {
            "totals": self.totals(),
            "duplicates": self.duplicates(),
            "foreign_headers": [asdict(first_error) for first_error in self.foreign_headers],
            "generations": [account.entry() for account in self.accounts.values()],
        }
