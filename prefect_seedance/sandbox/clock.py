"""The clock that everything in the sandbox goes by."""

import asyncio
import time


def now() -> float:
    """Return the event loop's time in seconds, so that a test whose loop skips time skips it here too."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        # Outside a loop, what loops begin with.
        return time.monotonic()


def unix_ms() -> int:
    """Return the time the way the API writes it."""
    return time.time_ns() // 1_000_000
