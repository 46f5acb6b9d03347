"""The person who settles what a run leaves open, with the provider's console and the command."""

import contextlib
import io
import json
import threading
from collections import Counter
from collections.abc import Iterator

from benchmarks.campaign.stage import Production, Run, Stage
from prefect_seedance.cli import main

_ONE_AT_A_TIME = threading.Lock()
"""The command is called in this process, which has one standard output."""


def settle(stage: Stage, production: Production, run: Run) -> Counter[str]:
    """Adopt each open clip that the console knows, declare the others lost, and count both.

    Where the command refuses, for the API may be out of order, the next run will report the clip again.
    """
    done: Counter[str] = Counter()
    for entry in run.entries:
        if entry["standing"] == "unresolved":
            bought = next(_unknown_to_ledger(stage, production, entry["name"]), "")
            answer = ("--adopt", bought) if bought else ("--lost",)
            words = ("resolve", str(production.archive), entry["fingerprint"], *answer)
            code = _command(*words, "--base-url", stage.sandbox.url)
            done[answer[0].strip("-") if code == 0 else "refused"] += 1
    return done


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
