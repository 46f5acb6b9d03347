"""Hold this process's share of an account, leased from a global concurrency limit of Prefect."""

import random
import threading
import time
from contextvars import copy_context
from typing import NamedTuple
from uuid import UUID

from prefect_seedance.api.slots import Block, Share, Slots
from prefect_seedance.api.urls import hide_users
from prefect_seedance.errors import ConnectionFailedError
from prefect_seedance.orchestration.limit_server import LEASE_SECONDS, Limit, LimitServer, NoLimitError
from prefect_seedance.printable import get_logger, one_line

_RENEWED_AFTER = 0.25
"""Part of a lease after which it is renewed, so that three renewals may fail."""

_LOOK_EVERY_SECONDS = 2.0
"""Time between two looks for free slots."""

_STEP_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
"""Longest and shortest time between two steps: many clips that need slots at once lease them together."""

_BLOCKS = 50
"""At least so many leases make up a limit, so that a process with few clips leaves most slots to others."""

_QUEUE_SIZE = 10_000
"""Limit of the processes that wait, which none reaches."""

_RETURN_SECONDS = 20.0
"""Bound of the return of all slots at the end of a run: a process that is cancelled is killed after 30 s."""

_log = get_logger(__name__)


class _Lease(NamedTuple):
    """A lease, which ends by two clocks: the monotonic one stops while a machine sleeps."""

    block: Block
    ends_at: float

    @classmethod
    def of(cls, size: int, seconds: float) -> "_Lease":
        return cls(Block(size, time.monotonic() + seconds), time.time() + seconds)

    @property
    def has_ended(self) -> bool:
        return time.monotonic() >= self.block.ends_at or time.time() >= self.ends_at


class ShareHolder:
    """Leases as many of an account's slots as this process needs, in a thread.

    The thread renews leases while the event loop is busy. If it cannot, its slots end by the clock, and only
    new submissions wait.

    A process that needs more slots than it has takes a place in a second limit, ``NAME-waiting``. Its number
    of places shows how many processes wait. Each of them then keeps at most its equal part of the account,
    so that one that comes later gets slots as soon as generations of the others end.

    Args:
        slots: The account's.
        name: Name of the global concurrency limit.
        lease_seconds: How long a killed process keeps its slots; Prefect accepts a minute or more.

    Attributes:
        users: How many sessions need the share.
    """

    def __init__(self, slots: Slots, name: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.users = 0
        self._slots, self._name, self._queue_name = slots, name, f"{name}-waiting"
        self._lease_seconds = lease_seconds
        self._changed, self._over = threading.Event(), threading.Event()
        self._share = Share(on_change=self._changed.set)
        self._leases: dict[UUID, _Lease] = {}
        self._place: dict[UUID, _Lease] = {}
        self._returned: list[UUID] = []
        self._next_look = 0.0
        self._logged: set[type[Exception]] = set()
        # Not a daemon: before a process ends, it returns its slots.
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name=name)

    def start(self) -> None:
        """Submit from now on only what the leased slots permit."""
        with self._slots.changing():
            self._slots.share = self._share
        self._thread.start()

    def stop(self) -> None:
        """Return all slots soon, without waiting for the server."""
        self._over.set()
        self._changed.set()

    def join(self) -> None:
        """Wait until all slots are returned."""
        self._thread.join()

    @property
    def is_over(self) -> bool:
        """Whether the share has ended, or will soon."""
        return self._over.is_set() or not threading.main_thread().is_alive()

    def _run(self) -> None:
        try:
            while not self.is_over:
                try:
                    with LimitServer.connected(lease_seconds=self._lease_seconds) as server:
                        self._hold(server)
                except NoLimitError:
                    _log.warning(
                        "The global concurrency limit %s was deleted; the run keeps its own", self._name
                    )
                    return
                except Exception as error:  # noqa: BLE001 -- without a thread, nothing would limit the process
                    self._report_failure(error)
                    self._over.wait(_LOOK_EVERY_SECONDS)
        finally:
            self._leave()
            self._return_all()

    def _hold(self, server: LimitServer) -> None:
        """Lease and return slots until the share is not needed anymore."""
        while not self.is_over:
            self._renew(server, self._leases, self._name)
            self._renew(server, self._place, self._queue_name)
            self._give_back(server)
            self._extend(server)
            self._report("")
            self._share.is_known = True
            self._changed.wait(_STEP_SECONDS)
            self._changed.clear()
            self._over.wait(_PAUSE_SECONDS)

    def _return_all(self) -> None:
        """Return all slots before the thread ends; a server that does not answer gets them back later."""
        self._returned += [*self._leases, *self._place]
        latest = time.monotonic() + _RETURN_SECONDS
        while self._returned and time.monotonic() < latest:
            try:
                with LimitServer.connected(lease_seconds=self._lease_seconds) as server:
                    self._return(server)
            except Exception as error:  # noqa: BLE001 -- every slot that is not returned stays taken
                self._report_failure(error)
                time.sleep(_STEP_SECONDS)

    def _renew(self, server: LimitServer, leases: dict[UUID, _Lease], name: str) -> None:
        """Renew leases in time; without a lost one, nothing new is submitted until another is found."""
        self._publish()  # without those that ended while the machine slept
        for lease_id, lease in list(leases.items()):
            age = self._lease_seconds - (lease.block.ends_at - time.monotonic())
            if not lease.has_ended and age < self._lease_seconds * _RENEWED_AFTER:
                continue
            renewed = _Lease.of(lease.block.size, self._lease_seconds)
            if server.renew(lease_id):
                leases[lease_id] = renewed
            else:
                _log.warning("The Prefect server has lost a lease of %s; leasing slots again", name)
                if not lease.has_ended:
                    server.correct(name, slots=lease.block.size)  # again at the next step if it fails
                del leases[lease_id]
        self._publish()

    def _give_back(self, server: LimitServer) -> None:
        """Return the blocks that this process does not need, or that others wait for."""
        with self._slots.changing():
            now, most = time.monotonic(), self._share.most
            wanted = self._slots.needed if most is None else min(self._slots.needed, most)
            spare = self._share.size(now) - max(wanted, self._slots.taken)
            for lease_id, lease in list(self._leases.items()):
                if lease.block.size <= spare:
                    spare -= lease.block.size
                    del self._leases[lease_id]
                    self._returned.append(lease_id)
            self._publish()
        self._return(server)

    def _return(self, server: LimitServer) -> None:
        while self._returned:
            server.give_back(self._returned[-1])  # has no effect the second time
            self._returned.pop()

    def _extend(self, server: LimitServer) -> None:
        """Lease free slots that this process needs, and wait in the queue for the rest."""
        if not self._lacks:
            self._leave_queue(server)
        elif time.monotonic() >= self._next_look:
            limit = server.read(self._name)
            self._share.most = self._equal_part(server, limit)
            self._lease(server, limit)
            if self._lacks:
                self._queue(server)
                self._next_look = time.monotonic() + _LOOK_EVERY_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311

    @property
    def _lacks(self) -> bool:
        return self._slots.needed > self._share.size(time.monotonic())

    def _equal_part(self, server: LimitServer, limit: Limit) -> int | None:
        """Return how many slots to keep at most; None if no other process waits, and the limit is kept."""
        if limit.taken > limit.size:  # it was lowered, so that all give back their part
            return self._share.size(time.monotonic()) * limit.size // limit.taken
        if not self._place:
            return None
        try:
            waiting = server.read(self._queue_name).taken
        except NoLimitError:  # it was deleted, and is created again with the next place
            self._place.clear()
            return None
        return max(1, limit.size // waiting) if waiting > 1 else None

    def _lease(self, server: LimitServer, limit: Limit) -> None:
        """Lease free slots in blocks, up to those that this process needs, or to its equal part."""
        free, block = limit.size - limit.taken, max(1, limit.size // _BLOCKS)
        while free > 0:
            needed, most = self._slots.needed, self._share.most
            wanted = min(needed, needed if most is None else most) - self._share.size(time.monotonic())
            size = min(wanted, free, block)
            if size <= 0:
                return
            lease = _Lease.of(size, self._lease_seconds)
            lease_id = server.lease(self._name, slots=size)
            if lease_id is None:
                return
            free -= size
            self._leases[lease_id] = lease
            self._publish()

    def _queue(self, server: LimitServer) -> None:
        if self._place:
            return
        lease = _Lease.of(1, self._lease_seconds)
        try:
            lease_id = server.lease(self._queue_name, slots=1)
        except NoLimitError:
            server.create(self._queue_name, size=_QUEUE_SIZE)
            lease_id = server.lease(self._queue_name, slots=1)
        if lease_id:
            self._place[lease_id] = lease

    def _leave_queue(self, server: LimitServer) -> None:
        self._share.most, self._next_look = None, 0.0
        self._returned += self._place
        self._place.clear()
        self._return(server)

    def _publish(self) -> None:
        """Let the account use the leased slots."""
        with self._slots.changing():
            self._share.blocks = {
                lease_id: lease.block for lease_id, lease in self._leases.items() if not lease.has_ended
            }

    def _report(self, problem: str) -> None:
        if problem and not self._share.problem:
            _log.warning("The Prefect server, which divides the account's slots, fails: %s", problem)
        self._share.problem = problem

    def _report_failure(self, error: Exception) -> None:
        """Report an error; one that is no failure of the server is logged once with its traceback."""
        if isinstance(error, ConnectionFailedError):
            self._report(str(error))
            return
        if type(error) not in self._logged:
            self._logged.add(type(error))
            _log.error("The division of the account's slots failed; trying again", exc_info=error)
        self._report(one_line(hide_users(f"{type(error).__name__}: {error}")))

    def _leave(self) -> None:
        self._over.set()
        with self._slots.changing():
            if self._slots.share is self._share:
                self._slots.share = None
