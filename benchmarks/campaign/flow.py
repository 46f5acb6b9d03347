"""A user's own flow with a time limit, which makes a production and prints its manifest.

Run: python flow.py PARAMETERS, an object in JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from prefect import flow

from prefect_seedance import Hosting, Output, Waiting, produce
from prefect_seedance.errors import SetupError
from prefect_seedance.report.manifest import Manifest, read_manifest
from prefect_seedance.storage.store import Store

_PARAMETERS: dict[str, Any] = json.loads(sys.argv[1])


async def make() -> Manifest:
    """Make the production."""
    return await produce(
        _PARAMETERS["clip_list"],
        archive=_PARAMETERS["archive"],
        hosting=Hosting(images_url=_PARAMETERS["images_url"]),
        waiting=Waiting.model_validate(_PARAMETERS["waiting"]),
        output=Output(rescue=_PARAMETERS["rescue"]),
        on_incomplete="return",
    )


async def film() -> Manifest:
    """Make the production in an async flow."""
    return await make()


def film_in_sync() -> Manifest:
    """Make the production in a sync flow."""
    return asyncio.run(make())


def main() -> None:
    """Run the flow, and print the manifest that it stored with how the flow ended."""
    began_at, started = datetime.now(UTC), time.monotonic()
    limited = flow(timeout_seconds=_PARAMETERS["timeout_seconds"], persist_result=False)
    function: Callable[[], Any] = film if _PARAMETERS["is_async"] else film_in_sync
    state = _run(limited(function))
    took = time.monotonic() - started
    stored = asyncio.run(_stored_manifest(since=began_at))
    end = {"state": state.name, "message": state.message, "seconds": took, "started_at": began_at.isoformat()}
    print(json.dumps({**stored, **end}))


async def _stored_manifest(*, since: datetime) -> dict[str, Any]:
    try:
        manifest = await read_manifest(Store.open(_PARAMETERS["archive"]), _PARAMETERS["name"])
    except SetupError:  # there is none
        return {}
    return manifest.model_dump(mode="json") if manifest.began_at > since else {}


def _run(film: Callable[..., Any]) -> Any:  # noqa: ANN401 -- Prefect's type depends on the flow's kind
    ended = film(return_state=True)
    return asyncio.run(ended) if asyncio.iscoroutine(ended) else ended


if __name__ == "__main__":
    main()
