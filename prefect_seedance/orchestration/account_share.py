"""Divide an account among processes, if the Prefect server has a limit with its name."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect.settings import get_current_settings

from prefect_seedance.api.account import account_name
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.slots import Slots
from prefect_seedance.errors import ConnectionFailedError
from prefect_seedance.orchestration.limit_server import Limit, LimitServer, NoLimitError
from prefect_seedance.orchestration.share_holder import ShareHolder
from prefect_seedance.printable import get_logger

_CHECK_SECONDS = 15.0
"""Bound of the question whether there is a limit."""

_log = get_logger(__name__)

_HOLDERS: dict[str, ShareHolder] = {}
_HOLDERS_LOCK = threading.Lock()


@asynccontextmanager
async def shared_account(credentials: Credentials, slots: Slots) -> AsyncIterator[None]:
    """Divide an account with other processes inside, if the Prefect server has a limit of its name.

    Without a server, or without that limit, each process observes the account's limits on its own.
    """
    name = account_name(credentials.base_url, credentials.api_key.get_secret_value())
    if not get_current_settings().api.url or not await _exists(name):
        yield
        return
    with _HOLDERS_LOCK:
        holder = _HOLDERS.get(name)
        if holder is None or holder.is_over:  # of a limit that was deleted
            holder = _HOLDERS[name] = ShareHolder(slots, name)
            holder.start()
        holder.users += 1
    try:
        yield
    finally:
        with _HOLDERS_LOCK:
            holder.users -= 1
            if not holder.users:
                holder.stop()
                if _HOLDERS.get(name) is holder:
                    del _HOLDERS[name]


async def _exists(name: str) -> bool:
    """Return whether the server has a limit of this name; an error is logged."""
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await asyncio.to_thread(_read, name)
    except NoLimitError:
        return False
    except (ConnectionFailedError, TimeoutError) as error:
        reason = str(error) or "it did not answer in time"
        _log.warning("The Prefect server did not say whether it limits %s: %s", name, reason)
        return False
    return True


def _read(name: str) -> Limit:
    with LimitServer.connected() as server:
        return server.read(name)
