"""The clocks and the log of simulated processes."""

import asyncio
import logging
import random
from collections.abc import Iterator
from datetime import datetime

import httpx
import pytest

from prefect_seedance.api import wall_clock
from tests.simulation.clock import Process


def _process() -> Process:
    process = asyncio.get_running_loop()
    assert isinstance(process, Process)
    return process


class _ProcessLog(logging.Handler):
    """Notes what a process logs."""

    def emit(self, record: logging.LogRecord) -> None:
        _process().log.append(record.getMessage())


def _time_of_day() -> datetime:
    return _process().time_of_day()


def _network(**_: object) -> httpx.AsyncBaseTransport:
    network = _process().network
    assert network
    return network


@pytest.fixture(scope="module", autouse=True)
def _simulated() -> Iterator[None]:
    """Give each process a wall clock, a network and a log of its own."""
    log, handler = logging.getLogger("prefect_seedance"), _ProcessLog()
    log.addHandler(handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wall_clock, "now", _time_of_day)
        patch.setattr("httpx.AsyncHTTPTransport", _network)
        patch.setattr("prefect_seedance.api.client.checked", lambda network, _: network)
        patch.setattr("prefect_seedance.api.guarded.GuardedTransport", lambda _: _network())
        yield
    log.removeHandler(handler)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Draw the same pauses between retries in every test."""
    random.seed(0)
