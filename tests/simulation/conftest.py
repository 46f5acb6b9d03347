"""The clocks and the log of simulated processes."""

import asyncio
import logging
import random
from collections.abc import Iterator
from datetime import datetime

import pytest

from prefect_seedance import wall_clock
from tests.simulation.clock import Process


class _ProcessLog(logging.Handler):
    """Notes what a process logs."""

    def emit(self, record: logging.LogRecord) -> None:
        asyncio_loop = asyncio._get_running_loop()
        if isinstance(asyncio_loop, Process):
            asyncio_loop.log.append(record.getMessage())


def _time_of_day() -> datetime:
    process = asyncio.get_running_loop()
    assert isinstance(process, Process)
    return process.time_of_day()


@pytest.fixture(scope="module", autouse=True)
def _simulated() -> Iterator[None]:
    """Give each process its own wall clock and log."""
    log, handler = logging.getLogger("prefect_seedance"), _ProcessLog()
    log.addHandler(handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wall_clock, "now", _time_of_day)
        yield
    log.removeHandler(handler)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Draw the same pauses between retries in every test."""
    random.seed(0)
