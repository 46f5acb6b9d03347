"""Share an account by a server that is slow, broken, restarted, or behind a proxy."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient

from prefect_seedance.api.slots import Share, Slots
from prefect_seedance.orchestration import share_holder
from prefect_seedance.orchestration.share_holder import ShareHolder
from tests.flows.conftest import eventually
from tests.orchestration.limits import PAGE, Answer, Limits, answered

_SECONDS = 8.0
"""Longest wait for what needs one or two steps of the holder."""


@contextmanager
def sharing(slots: Slots, *, lease_seconds: float = 120.0) -> Iterator[Share]:
    """Share the account for slots that are needed already, and return all in the end."""
    holder = ShareHolder(slots, "studio", lease_seconds=lease_seconds)
    holder.start()
    assert slots.share
    try:
        yield slots.share
    finally:
        holder.stop()
        holder.join()


def needing(number: int) -> Slots:
    """Return slots of a process with so many generations in flight."""
    slots = Slots()
    for _ in range(number):
        slots.take()
    return slots


def soon(read: Callable[[], object]) -> bool:
    return bool(eventually(read, seconds=_SECONDS))


ODD: dict[str, Answer] = {
    "page": PAGE,
    "nothing": (200, b""),
    "no limits": answered(200, {"lease_id": str(uuid4())}),
    "no lease": answered(200, {"limits": [{"id": str(uuid4()), "name": "studio", "limit": 2}]}),
    "list": answered(200, []),
    "null": answered(200, None),
    "odd id": answered(200, {"lease_id": 7, "limits": []}),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
@pytest.mark.parametrize("path", ["increment-with-lease", "limits/studio"])
def test_odd_answer_keeps_the_share(limits: Limits, path: str, answer: Answer) -> None:
    """After an answer that no Prefect server gives, the process keeps to its share, and leases later."""
    limits.instead[path] = answer
    slots = needing(2)

    with sharing(slots) as share:
        has_problem = soon(lambda: share.problem)
        is_shared = slots.share is share
        limits.instead.clear()
        has_recovered = soon(lambda: share.size(time.monotonic()) == 2)

    assert (has_problem, is_shared, has_recovered) == (True, True, True)
    assert limits.taken["studio"] == 0


@pytest.mark.parametrize("path", ["renew", "decrement-with-lease"])
def test_page_confirms_nothing(limits: Limits, path: str) -> None:
    """A page of a proxy neither renews nor returns a lease."""
    slots = Slots()
    slot, _ = slots.take(), slots.take()

    with sharing(slots, lease_seconds=8) as share:
        assert soon(lambda: share.size(time.monotonic()) == 2)
        limits.instead[path] = PAGE
        slots.release(slot)
        has_problem = soon(lambda: share.problem)
        limits.instead.clear()

    assert has_problem
    assert limits.taken["studio"] == 0


@pytest.mark.usefixtures("limits")
def test_unknown_failure_keeps_the_share(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of any other kind is logged once, shown, and does not end the share."""
    slots, client = needing(2), SyncPrefectClient
    send = client.increment_concurrency_slots_with_lease
    failures = iter([True, True, False])

    def broken(*args: Any, **options: Any) -> object:  # noqa: ANN401 -- passed on
        if next(failures, False):
            raise RuntimeError("the client is closed")
        return send(*args, **options)

    monkeypatch.setattr(client, "increment_concurrency_slots_with_lease", broken)
    with sharing(slots) as share:
        problem = eventually(lambda: share.problem, seconds=_SECONDS)
        is_shared = slots.share is share
        has_recovered = soon(lambda: share.size(time.monotonic()) == 2)

    assert problem == "RuntimeError: the client is closed"
    assert (is_shared, has_recovered) == (True, True)
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]


def test_deleted_queue_keeps_the_share(limits: Limits) -> None:
    """Without the limit that counts waiting processes, the share stays, and the limit is created again."""
    slots = needing(5)

    with sharing(slots) as share:
        was_waiting = soon(lambda: limits.taken.get("studio-waiting"))
        limits.delete("studio-waiting")
        waits_again = soon(lambda: limits.taken.get("studio-waiting"))
        is_shared, size = slots.share is share, share.size(time.monotonic())

    assert (was_waiting, waits_again, is_shared, size) == (True, True, True, 2)


def test_failed_correction_is_repeated(limits: Limits) -> None:
    """Slots whose lease the server forgot are returned, even if the first attempt to return them fails."""
    slots = needing(1)

    with sharing(slots, lease_seconds=12) as share:
        assert soon(lambda: share.blocks)
        limits.instead["decrement"] = 500, b"{}"
        limits.leases.clear()
        assert soon(lambda: share.problem)
        limits.instead.clear()
        is_replaced = soon(lambda: limits.leases)
        taken = limits.taken["studio"]

    assert (is_replaced, taken) == (True, 1)


def test_sleep_ends_leases(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the machine slept for an hour, leases are not used although the monotonic clock stood still."""
    slots, hours = needing(2), [0]
    clock = SimpleNamespace(
        monotonic=time.monotonic, sleep=time.sleep, time=lambda: time.time() + 3600 * hours[0]
    )
    monkeypatch.setattr(share_holder, "time", clock)

    with sharing(slots) as share:
        assert soon(lambda: share.size(time.monotonic()) == 2)
        limits.instead["/"] = 500, b"{}"
        hours[0] = 1
        has_none = soon(lambda: share.size(time.monotonic()) == 0)
        limits.leases.clear()
        limits.taken["studio"] = 0
        limits.instead.clear()
        leased_again = soon(lambda: share.size(time.monotonic()) == 2)

    assert (has_none, leased_again) == (True, True)
    assert not any(path.endswith("/decrement") for path in limits.requests)


def test_kept_lease_lasts_longer(limits: Limits) -> None:
    """A lease that is needed is renewed before it ends."""
    with sharing(needing(1), lease_seconds=8) as share:
        assert soon(lambda: share.blocks)
        ((lease, block),) = share.blocks.items()

        assert soon(lambda: share.blocks[lease].ends_at > block.ends_at)
    assert limits.taken["studio"] == 0


def test_each_waiting_process_may_have_a_slot(limits: Limits) -> None:
    """If more processes wait than there are slots, each may still have one."""
    limits.taken["studio"] = 2
    limits.sizes["studio-waiting"], limits.taken["studio-waiting"] = 10_000, 4

    with sharing(needing(3)) as share:
        assert soon(lambda: share.most == 1)
        limits.taken["studio"] = 0

        assert soon(lambda: share.size(time.monotonic()) == 1)
