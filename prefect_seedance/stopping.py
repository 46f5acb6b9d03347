"""Stop a production in good order when Prefect is told to end the flow run that it is made in."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def stopped_in_good_order() -> Iterator[None]:
    """Have Prefect's SIGTERM cancel the production before it breaks the event loop off.

    A flow's engine raises out of the loop wherever that is, and answers that are on their way are lost.
    Here it comes to the engine once the account is made. Whoever else listens is left alone.
    """
    before = signal.getsignal(signal.SIGTERM)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or not str(getattr(before, "__module__", "")).startswith("prefect."):
        yield
        return
    loop, production, asked = asyncio.get_running_loop(), asyncio.current_task(), threading.Event()

    def stop(*_: object) -> None:
        asked.set()
        if production:
            loop.call_soon_threadsafe(production.cancel)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if asked.is_set():
            signal.raise_signal(signal.SIGTERM)
