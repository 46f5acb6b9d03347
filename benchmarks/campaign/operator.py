"""The operator who resolves open submissions with the provider's console and the command."""

import contextlib
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.campaign.production import Production
from benchmarks.campaign.stage import Stage
from prefect_seedance.cli import main

_COMMAND_LOCK = threading.Lock()
"""The command runs in this process, which has one standard output."""


def resolve(stage: Stage, production: Production) -> Counter[str]:
    """Adopt each open submission that the console lists, declare the others lost, and count both.

    If the command refuses, for example during an API outage, the submission stays open until the next call.
    """
    done: Counter[str] = Counter()
    for intent in production.archive.open_intents():
        bought = next(_unknown_to_ledger(stage, production, intent["name"]), "")
        choice = ("--adopt", bought) if bought else ("--lost",)
        arguments = ("resolve", production.archive.url, intent["fingerprint"], *choice)
        code = _command(*arguments, "--base-url", stage.sandbox.url)
        done[choice[0].strip("-") if code == 0 else "refused"] += 1
    return done


def wait_until_resolvable(stage: Stage, production: Production) -> None:
    """Wait until every run that submitted must have recorded a result or ended, as the command requires."""
    latest = max(
        (datetime.fromisoformat(intent["settles_by"]) for intent in production.archive.open_intents()),
        default=None,
    )
    while latest and datetime.now(UTC) < latest and not stage.over.is_set():
        time.sleep(0.1)


def _unknown_to_ledger(stage: Stage, production: Production, prompt: str) -> Iterator[str]:
    """Yield the generations with this prompt that the console lists and the ledger does not."""
    known = set(production.archive.accepted())
    for generation in stage.books()["generations"]:
        if generation["prompt"] == prompt and generation["taskId"] not in known:
            yield generation["taskId"]


def _command(*arguments: str) -> int:
    with _COMMAND_LOCK, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return main(arguments)
