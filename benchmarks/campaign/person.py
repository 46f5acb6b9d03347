"""The person who settles what a run leaves open, with the provider's console and the command."""

import contextlib
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.campaign.stage import Production, Stage
from prefect_seedance.cli import main

_ONE_AT_A_TIME = threading.Lock()
"""The command is called in this process, which has one standard output."""


def settle(stage: Stage, production: Production) -> Counter[str]:
    """Adopt each open clip that the console knows, declare the others lost, and count both.

    Where the command refuses, for the API may be out of order, the clip stays open until next time.
    """
    done: Counter[str] = Counter()
    for intent in production.open_intents():
        bought = next(_unknown_to_ledger(stage, production, intent["name"]), "")
        answer = ("--adopt", bought) if bought else ("--lost",)
        words = ("resolve", str(production.archive), intent["fingerprint"], *answer)
        code = _command(*words, "--base-url", stage.sandbox.url)
        done[answer[0].strip("-") if code == 0 else "refused"] += 1
    return done


def wait_for_answers(stage: Stage, production: Production) -> None:
    """Wait until whoever asked must have recorded an answer or died, as the person is told to."""
    latest = max(
        (datetime.fromisoformat(intent["settles_by"]) for intent in production.open_intents()), default=None
    )
    while latest and datetime.now(UTC) < latest and not stage.over.is_set():
        time.sleep(0.1)


def _unknown_to_ledger(stage: Stage, production: Production, prompt: str) -> Iterator[str]:
    """Yield what the console shows for these words and no record names."""
    records = production.files("attempt-*/accepted.json")
    known = {json.loads(record.read_text(encoding="utf-8"))["generation_id"] for record in records}
    for generation in stage.books()["generations"]:
        if generation["prompt"] == prompt and generation["taskId"] not in known:
            yield generation["taskId"]


def _command(*words: str) -> int:
    with _ONE_AT_A_TIME, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return main(words)
