"""The clock of the sandbox."""

import asyncio
import time


def now() -> float:
    """Return the event loop's time in seconds, so that a test can control it with its own loop."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        # Event loops use this clock, too.
        return time.monotonic()


def unix_ms() -> int:
    """Return the Unix time in milliseconds, as the API reports it."""
    return time.time_ns() // 1_000_000
