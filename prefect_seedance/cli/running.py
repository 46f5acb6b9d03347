"""Run a production as a Prefect flow that signals stop in good order."""

import asyncio
import atexit
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Failed

from prefect_seedance.cli.printing import terminal
from prefect_seedance.cli.screen import Screen
from prefect_seedance.cli.server import configured_server, temporary_server
from prefect_seedance.errors import SetupError
from prefect_seedance.manifest import Manifest
from prefect_seedance.reporting import final_state

_INTERRUPTED = 130
"""As shells say it."""

_STARTING = (
    "Starting a temporary Prefect server, which takes a while; set PREFECT_API_URL to use one that is running"
)

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
        with screen.busy(_STARTING):
            stack = ExitStack()
            stack.enter_context(temporary_server())
            # Prefect sends its last logs and events when the process ends, just before this.
            atexit.register(stack.close)
    return asyncio.run(_run(make, name=name, stop=_Stop(screen)))


async def _run(make: Make, *, name: str, stop: "_Stop") -> Manifest | None:
    await _check_server()
    ending = _Ending()
    stop.listen()

    @flow(name="produce", flow_run_name=f"produce {name}")
    async def produce() -> State[Any]:
        stop.listen()  # again, since the flow's engine listens to SIGTERM itself by now
        return await ending.of(stop.work(make()))

    try:
        await produce(return_state=True)
    except Exception:
        if not ending.is_known:  # or Prefect failed to note it down, which changes nothing
            raise
    return ending.manifest()


async def _check_server() -> None:
    async with get_client() as client:
        if error := await client.api_healthcheck():
            raise SetupError(
                f"The Prefect server at {client.api_url} does not answer ({error}). Start it, "
                "or unset PREFECT_API_URL to have a temporary one"
            )


class _Stop:
    """Cancels work at the first signal, and leaves at once at the second."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._work: asyncio.Task[Manifest] | None = None
        self._is_asked = False

    def listen(self) -> None:
        """Hear of signals from now on, whoever heard of them before."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._ask)

    async def work(self, work: Coroutine[Any, Any, Manifest]) -> Manifest:
        """Work until it is done or was cancelled."""
        self._work = asyncio.create_task(work)
        if self._is_asked:
            self._work.cancel()
        return await self._work

    def _ask(self) -> None:
        if self._is_asked:
            terminal().show_cursor()
            os._exit(_INTERRUPTED)
        self._is_asked = True
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
