"""The rules of a campaign for each run, checked against the sandbox's books and the archive."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from datetime import datetime

from benchmarks.campaign.clip_list import SECONDS
from benchmarks.campaign.production import Production, Run
from benchmarks.campaign.stage import Stage
from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.probe import probe

_LATE_SECONDS = 20.0
"""How long after its deadline or time limit a run may end: recording an answer takes up to three times the
limit of a request, which is 1.5 s, and the machine is busy."""


def runs(stage: Stage, production: Production, ended: Sequence[Run]) -> Iterator[str]:
    """Check what one run, or several concurrent ones, did."""
    yield from _bill(stage, production, ended)
    yield from _known(stage, production, ended)
    yield from _order(production)
    yield from _videos(production)
    for run in ended:
        yield from _in_time(run)
        yield from _accounted(production, run)


def _bill(stage: Stage, production: Production, ended: Sequence[Run]) -> Iterator[str]:
    """Compare the bill of concurrent runs with the generations accepted during these runs.

    Unresolved clips are skipped, because no run knows their outcome yet, and so are those that the operator
    declared lost while a run was suspended.
    """
    manifests = [run.manifest for run in ended if run.manifest]
    if len(manifests) < len(ended):
        return
    began = min(_milliseconds(manifest["began_at"]) for manifest in manifests)
    over = max(_milliseconds(manifest["ended_at"]) for manifest in manifests)
    accepted = {each["taskId"]: each["accepted_at"] for each in stage.books()["generations"]}
    lost = set(_lost_since(production, began))
    for entries in zip(*(run.entries for run in ended), strict=True):
        if all(entry["status"] != "unresolved" for entry in entries) and entries[0]["name"] not in lost:
            bought = any(began <= accepted.get(entry["generation_id"], 0) <= over for entry in entries)
            billed = sum(entry["billed_seconds"] for entry in entries)
            if billed != SECONDS * bought:
                yield f"{entries[0]['name']} is billed {billed} s, and accepted: {bought}"


def _lost_since(production: Production, began: int) -> Iterator[str]:
    """Yield the clips with an attempt of these runs that was declared lost."""
    for key, outcome in production.archive.records("attempt-*/outcome.json").items():
        if outcome["result"] == "lost" and _milliseconds(outcome["ended_at"]) >= began:
            yield production.archive.record(key.replace("outcome", "intent"))["name"]


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)


def _known(stage: Stage, production: Production, ended: Sequence[Run]) -> Iterator[str]:
    """Check that each generation is in ledger or log, or that its attempt is open, even after a kill."""
    open_prompts = {intent["name"] for intent in production.archive.open_intents()}
    # Only then: a receiver may record the acceptance of an open attempt at any time.
    known, logs = set(production.archive.accepted()), "".join(run.output for run in ended)
    for each in stage.books()["generations"]:
        task_id, prompt = each["taskId"], each["prompt"]
        if task_id not in known and task_id not in logs and prompt not in open_prompts:
            yield f"{task_id} ({prompt}) is paid for, and neither recorded nor open"


def _order(production: Production) -> Iterator[str]:
    """Check that each step was recorded before the next step, wherever a run was killed."""
    keys, archive = set(production.archive.keys()), production.archive
    for key in archive.keys("attempt-*/*.json"):
        folder = key.rpartition("/")[0]
        if f"{folder}/intent.json" not in keys:
            yield f"{key} has no intent"
    for key, outcome in archive.records("attempt-*/outcome.json").items():
        is_accepted = key.replace("outcome", "accepted") in keys
        if not is_accepted and outcome["result"] not in {"not started", "lost"}:
            yield f"{key} is {outcome['result']}, but was never accepted"
    ended = {key.split("/")[1] for key in archive.keys("attempt-*/outcome.json")}
    for key in archive.keys("clip.json"):
        if key.split("/")[1] not in ended:
            yield f"{key} belongs to a clip without an ended attempt"


def _videos(production: Production) -> Iterator[str]:
    """Check that every recorded video exists, matches its digest and decodes, even after a kill."""
    videos = set(production.archive.keys("clip-*.mp4"))
    for key, record in production.archive.records("clip.json").items():
        if record["key"] not in videos:
            yield f"{key} names a video that does not exist"
    for key in videos:
        video = production.archive.read(key)
        if hashlib.sha256(video).hexdigest()[:12] not in key:
            yield f"{key} does not match the digest in its name"
        try:
            probe(io.BytesIO(video))
        except IntegrityError as error:
            yield f"{key} is in the archive, and broken: {error}"


def _in_time(run: Run) -> Iterator[str]:
    """Check that no wait outlasted the deadline, and no flow its time limit."""
    deadline = run.plan.waiting.deadline_seconds
    if run.seconds > deadline + _LATE_SECONDS + run.paused_seconds:
        yield f"a run with a deadline of {deadline:.1f} s took {run.seconds:.1f} s"
    took = run.state.get("seconds", 0.0)
    if run.plan.time_limit and took > run.plan.time_limit.seconds + _LATE_SECONDS:
        yield f"a flow with a time limit of {run.plan.time_limit.seconds:.1f} s took {took:.1f} s"


def _accounted(production: Production, run: Run) -> Iterator[str]:
    """Check that a flow that submitted stored its manifest, although its time limit cancelled it."""
    if run.timed_out and not run.manifest:
        since = _milliseconds(run.state["started_at"])
        for intent in production.archive.records("attempt-*/intent.json").values():
            if _milliseconds(intent["asked_at"]) >= since:
                yield f"a flow submitted {intent['name']}, reached its time limit, and stored no manifest"
                return
