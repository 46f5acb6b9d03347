"""Run a production as a Prefect flow that signals stop in good order."""

import asyncio
import atexit
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.states import Cancelled, Failed

from prefect_seedance.cli.prefect_server import configured_server, temporary_server
from prefect_seedance.cli.printing import terminal
from prefect_seedance.cli.progress import Screen
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.reporting import final_state
from prefect_seedance.report.manifest import Manifest

_INTERRUPTED = 130
"""As shells say it."""

_STARTING = "Starting a temporary Prefect server (set PREFECT_API_URL to use a running one)"

Make = Callable[[], Coroutine[Any, Any, Manifest]]


def run(make: Make, *, name: str, screen: Screen) -> Manifest | None:
    """Make a production within a flow run.

    Args:
        make: Makes it, and leaves its account in the archive even when cancelled.
        name: The production's, for people who look at flow runs.
        screen: Is told if a server has to be started.

    Returns:
        The account, or None if a signal stopped it.

    Raises:
        SetupError: If there is no Prefect server.
        Exception: What `make` raises.
    """
    if not configured_server():
        with _interruptible(), screen.busy(_STARTING):
            stack = ExitStack()
            stack.enter_context(temporary_server())
            # Prefect sends its last logs and events when the process ends, just before this.
            atexit.register(stack.close)
    return asyncio.run(_run(make, name=name, screen=screen))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Leave at a signal even if what it interrupts swallows the exception, as importing a module may."""
    is_asked = False

    def ask(*_: object) -> None:
        nonlocal is_asked
        is_asked = True
        raise KeyboardInterrupt

    former = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if is_asked:
        raise KeyboardInterrupt


async def _run(make: Make, *, name: str, screen: Screen) -> Manifest | None:
    await _check_server()
    stop, ending = _Stop(screen), _Ending()

    @flow(name="produce", flow_run_name=f"produce {name}")
    async def produce() -> State[Any]:
        return await ending.of(stop.work(make()))

    try:
        with stop.listening():  # the flow's engine listens to SIGTERM itself, but while it works
            await produce(return_state=True)
    except (httpx.HTTPError, PrefectException) as error:
        if not ending.is_known:  # or Prefect failed to note it down, which changes nothing
            raise SetupError(f"The Prefect server fails ({error}). Mend it, or use another") from error
    except asyncio.CancelledError:
        pass  # by a signal, before the work was begun
    return ending.manifest()


async def _check_server() -> None:
    async with get_client() as client:
        if error := await client.api_healthcheck():
            raise SetupError(
                f"The Prefect server at {client.api_url} does not answer ({error}). Start it, "
                "or unset PREFECT_API_URL to have a temporary one"
            )


class _Stop:
    """Cancels work at the first signal, and leaves at once at the second.

    The handlers are plain ones: those of an event loop travel through the pipe that also wakes it, and
    are lost when a thousand clips have filled that.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._loop = asyncio.get_running_loop()
        self._work: asyncio.Task[Any] | None = asyncio.current_task()
        self._is_asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear of signals, whoever heard of them before."""
        former = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    async def work(self, work: Coroutine[Any, Any, Manifest]) -> Manifest:
        """Work until it is done or was cancelled."""
        task = asyncio.create_task(work)
        self._work = task
        with self.listening():
            return await task

    def _ask(self, *_: object) -> None:
        if self._is_asked:
            terminal().show_cursor()
            os._exit(_INTERRUPTED)
        self._is_asked = True
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._screen.note("Stopping … once more leaves at once")
        if self._work:
            self._work.cancel()


class _Ending:
    """How a production ended: kept here, because Prefect need not keep it."""

    def __init__(self) -> None:
        self.is_known = False
        self._manifest: Manifest | None = None
        self._error: Exception | None = None

    async def of(self, work: Coroutine[Any, Any, Manifest]) -> State[Any]:
        """Wait for the end, and return what it is in Prefect's words."""
        try:
            self._manifest = await work
            return final_state(self._manifest)
        except asyncio.CancelledError:
            return Cancelled(message="Stopped by a signal; run the same again to continue")
        except Exception as error:  # noqa: BLE001 -- raised again outside of the flow
            self._error = error
            return Failed(message=str(error))
        finally:
            self.is_known = True

    def manifest(self) -> Manifest | None:
        """Return the account, or raise why there is none."""
        if self._error:
            raise self._error
        return self._manifest
