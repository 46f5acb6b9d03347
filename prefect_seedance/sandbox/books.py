"""The books: everything that happened to the sandbox, for tests and campaigns to judge by."""

from collections import defaultdict
from collections.abc import Container
from dataclasses import asdict, dataclass, field

from prefect_seedance.sandbox.clock import unix_ms
from prefect_seedance.sandbox.generation import Generation
from prefect_seedance.sandbox.minute import SlidingMinute

# What only the API itself may be sent: anywhere else it is a leak.
_FOREIGN_HEADERS = ("authorization", "proxy-authorization", "cookie")

# The end of a shorter key would give away too much of it.
_LEAST_KEY_LENGTH = 8


@dataclass(frozen=True)
class ForeignHeader:
    """A header that should not have come where it came."""

    where: str
    header: str
    path: str
    at_ms: int


@dataclass(frozen=True)
class CallbackAttempt:
    """One delivery of a callback and what came of it: an HTTP status, or why there was none."""

    at_ms: int
    outcome: int | str


@dataclass
class Account:
    """What is counted for one generation."""

    generation: Generation
    billed_seconds: int
    status_reads: int = 0
    file_requests: int = 0
    file_bytes: int = 0
    callbacks: list[CallbackAttempt] = field(default_factory=list)

    def entry(self) -> dict[str, object]:
        """Write the account down; of the API key only its end, and that only of a long one."""
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
            "api_key_end": key[-4:] if len(key) >= _LEAST_KEY_LENGTH else "",
            "status_reads": self.status_reads,
            "file_requests": self.file_requests,
            "file_bytes": self.file_bytes,
            "callbacks": [asdict(attempt) for attempt in self.callbacks],
        }


@dataclass
class Books:
    """Counts, tells, and is the only memory of the sandbox."""

    accounts: dict[str, Account] = field(default_factory=dict)
    accepted: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The ids that each identity was accepted under."""
    submits_received: int = 0
    status_reads: int = 0
    file_requests: int = 0
    file_bytes: int = 0
    paid_seconds: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    received: SlidingMinute = field(default_factory=SlidingMinute)
    """All API requests."""
    admitted: SlidingMinute = field(default_factory=SlidingMinute)
    """The API requests that were not over the limit."""
    foreign_headers: list[ForeignHeader] = field(default_factory=list)

    def clear(self) -> None:
        """Forget everything."""
        vars(self).update(vars(Books()))

    def receive_submit(self) -> None:
        """Count a submit request, whatever comes of it."""
        self.received.add()
        self.submits_received += 1

    def receive_status_read(self, task_id: str) -> None:
        """Count a status read, also of an id that nobody knows."""
        self.received.add()
        self.status_reads += 1
        if task_id in self.accounts:
            self.accounts[task_id].status_reads += 1

    def accept(self, generation: Generation) -> Account:
        """Open the account of a generation, which is paid for from now on."""
        account = Account(generation, billed_seconds=generation.submission.input.duration)
        self.accounts[generation.task_id] = account
        self.accepted[generation.identity].append(generation.task_id)
        self.paid_seconds += account.billed_seconds
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        return account

    def receive_file_request(self, task_id: str) -> None:
        """Count a request for a result."""
        self.file_requests += 1
        if task_id in self.accounts:
            self.accounts[task_id].file_requests += 1

    def send_file_bytes(self, task_id: str, count: int) -> None:
        """Count bytes of a result on their way out."""
        self.file_bytes += count
        if task_id in self.accounts:
            self.accounts[task_id].file_bytes += count

    def notice_headers(self, where: str, *, path: str, headers: Container[str]) -> None:
        """Complain about headers that belong to the API alone."""
        self.foreign_headers += [
            ForeignHeader(where, header, path, unix_ms()) for header in _FOREIGN_HEADERS if header in headers
        ]

    def duplicates(self) -> dict[str, list[str]]:
        """Return the identities that were accepted more than once, with the ids under which."""
        return {identity: ids for identity, ids in self.accepted.items() if len(ids) > 1}

    def totals(self) -> dict[str, int]:
        """Return the sums over everything."""
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
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "foreign_headers": len(self.foreign_headers),
        }

    def report(self) -> dict[str, object]:
        """Return all of it."""
        return {
            "totals": self.totals(),
            "duplicates": self.duplicates(),
            "foreign_headers": [asdict(complaint) for complaint in self.foreign_headers],
            "generations": [account.entry() for account in self.accounts.values()],
        }
