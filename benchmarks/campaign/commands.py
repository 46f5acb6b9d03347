"""The commands that run a production: the project's own, and a flow with a time limit."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.campaign.chance import RunPlan, TimeLimit
from benchmarks.campaign.production import Production
from prefect_seedance.doors import option_name
from prefect_seedance.options import Waiting
from tests.processes import BIN

_FLOW = Path(__file__).parent / "flow.py"


def command(production: Production, plan: RunPlan) -> Sequence[object]:
    """Return the command that carries out a plan."""
    waiting = _waiting(production, plan.waiting)
    return _flow(production, waiting, plan.time_limit) if plan.time_limit else _produce(production, waiting)


def _produce(production: Production, waiting: Waiting) -> Sequence[object]:
    given = waiting.model_dump(exclude_unset=True)
    wait = () if given.pop("wait", True) else ("--no-wait",)
    times = [word for name, value in given.items() for word in (f"--{option_name(name)}", value)]
    images = ("--images-url", production.images_url) if production.images_url else ()
    rescue = () if production.setting.rescues else ("--no-rescue",)
    produce = (BIN / "prefect-seedance", "produce", production.clip_list.path, "--json")
    return (*produce, "--archive", production.archive.url, *times, *wait, *images, *rescue)


def _flow(production: Production, waiting: Waiting, limit: TimeLimit) -> Sequence[object]:
    parameters = {
        "clip_list": str(production.clip_list.path),
        "archive": production.archive.url,
        "name": production.name,
        "images_url": production.images_url,
        "rescue": production.setting.rescues,
        "waiting": waiting.model_dump(mode="json", exclude_unset=True),
        "timeout_seconds": limit.seconds,
        "is_async": limit.is_async,
    }
    # Without -P, the modules beside the script would hide those of the standard library.
    return (sys.executable, "-P", _FLOW, json.dumps(parameters))


def _waiting(production: Production, waiting: Waiting) -> Waiting:
    """Add the receiver; its callbacks are due within a second."""
    if not production.receiver:
        return waiting
    callbacks = {
        "callback_url": production.receiver.url,
        "callback_grace_seconds": 2.0,
        "read_ledger_every_seconds": 0.5,
    }
    return waiting.model_copy(update=callbacks)
