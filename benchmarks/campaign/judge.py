"""The rules of a campaign, checked against the sandbox's books and the archive."""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.campaign.chance import SECONDS
from benchmarks.campaign.stage import Production, Run, Stage
from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.probe import probe

_KNOWN_FILES = re.compile(
    r"clips/[0-9a-f]{32}/(attempt-\d{3}/(intent|(late-)?(accepted|outcome))\.json|clip\.json|refused\.mp4"
    r"|(clip|look|still)-[0-9a-f]{12}(-(start|middle|end))?\.(mp4|json|jpg))"
    r"|images/[0-9a-f]{64}\.png"
    r"|productions/[a-z0-9-]+/((storyboard|manifest|film)\.json|film(-[0-9a-f]{12})?\.mp4"
    r"|report\.html|contact-sheet\.jpg|bought/[0-9a-f]{32})"
)

_STAGED = re.compile(r"#\d+$")

_LONG_AGO_SECONDS = 3600.0

Json = Mapping[str, Any]


def bill(stage: Stage, runs: Sequence[Run]) -> Iterator[str]:
    """Compare the bill of concurrent runs with the generations accepted during these runs.

    Unresolved clips are skipped, because no run knows their outcome yet.
    """
    manifests = [run.manifest for run in runs if run.manifest]
    if len(manifests) < len(runs):
        return
    started = min(_milliseconds(manifest["began_at"]) for manifest in manifests)
    ended = max(_milliseconds(manifest["ended_at"]) for manifest in manifests)
    accepted = {each["taskId"]: each["accepted_at"] for each in stage.books()["generations"]}
    for entries in zip(*(run.entries for run in runs), strict=True):
        if all(entry["status"] != "unresolved" for entry in entries):
            bought = any(started <= accepted.get(entry["generation_id"], 0) <= ended for entry in entries)
            billed = sum(entry["billed_seconds"] for entry in entries)
            if billed != SECONDS * bought:
                yield f"{entries[0]['name']} is billed {billed} s, and accepted: {bought}"


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)


def videos(production: Production) -> Iterator[str]:
    """Check that every recorded video exists, matches its digest and decodes, even after a kill."""
    for record in production.files("clip.json"):
        if not (production.archive / json.loads(record.read_text(encoding="utf-8"))["key"]).exists():
            yield f"{record} names a video that does not exist"
    for video in production.files("clip-*.mp4"):
        if hashlib.sha256(video.read_bytes()).hexdigest()[:12] not in video.name:
            yield f"{video} does not match the digest in its name"
        try:
            probe(video)
        except IntegrityError as error:
            yield f"{video} is in the archive, and broken: {error}"


def order(production: Production) -> Iterator[str]:
    """Check that each step was recorded before the next step, wherever a run was killed."""
    for attempt in production.files("attempt-*"):
        records = {path.stem for path in attempt.glob("*.json")}
        if records and "intent" not in records:  # a killed run may leave an empty folder
            yield f"{attempt} has records without an intent: {records}"
        if "outcome" in records and "accepted" not in records:
            outcome = json.loads((attempt / "outcome.json").read_text(encoding="utf-8"))["result"]
            if outcome not in {"not started", "lost"}:
                yield f"{attempt} ended with {outcome}, but was never accepted"
    for record in production.files("clip.json"):
        if not list(record.parent.glob("attempt-*/outcome.json")):
            yield f"{record} belongs to a clip without an ended attempt"


def whole(stage: Stage, production: Production) -> Iterator[str]:
    """Check a complete production."""
    books = stage.books()
    manifest: Json = json.loads(production.manifest.read_text(encoding="utf-8"))
    bought = _by_prompt(books)
    for entry in manifest["clips"]:
        yield from _clip(stage, production, entry, bought.pop(entry["name"], []))
    yield from (f"{prompt} was bought, but never requested" for prompt in bought)
    yield from _ledger(production, books)
    yield from (
        f"{name}: {books['totals'][name]}"
        for name in ("duplicates", "foreign_headers", "in_flight")
        if books["totals"][name]
    )
    for path in _files(production.archive):
        if not _KNOWN_FILES.fullmatch(path) and not _STAGED.search(path):
            yield f"{path} is not a known file of the archive"
    yield from (f"{path} is left in the temporary folder" for path in _files(stage.temporary_folder))


def _by_prompt(books: Json) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for generation in books["generations"]:
        found.setdefault(generation["prompt"], []).append(generation)
    return found


def _clip(stage: Stage, production: Production, entry: Json, bought: list[Json]) -> Iterator[str]:
    name, status, reason = entry["name"], entry["status"], entry["reason"] or ""
    folder = production.archive / "clips" / entry["fingerprint"]
    if len(bought) > 1:
        yield f"{name} was bought {len(bought)} times"
    elif not bought:
        if (status, entry["cause"]) != ("failed", "ContentRejectedError"):
            yield f"{name} is {status}, and nothing was bought: {reason}"
    elif bought[0]["state"] == "failed":
        if status != "failed" or bought[0]["fail_code"] not in reason or list(folder.glob("clip-*")):
            yield f"{name} failed with {bought[0]['fail_code']}, and is {status}: {reason}"
    elif bought[0]["state"] != "success":
        yield f"{name} is {status} in a complete production, but its generation is {bought[0]['state']}"
    elif status not in {"made", "reused"}:
        yield f"{name} is lost: the API produced it, but it is {status}: {reason}"
    else:
        yield from _archived(stage, production, entry, bought[0])


def _archived(stage: Stage, production: Production, entry: Json, bought: Json) -> Iterator[str]:
    """Compare a video with its record and with the original, which padding may follow."""
    record = json.loads((production.archive / "clips" / entry["fingerprint"] / "clip.json").read_text())
    path = production.archive / record["key"]
    video = path.read_bytes()
    if hashlib.sha256(video).hexdigest() != record["sha256"]:
        yield f"{entry['name']} does not match the digest in its record"
    if probe(path).model_dump() != record["facts"]:
        yield f"{entry['name']} does not match the facts in its record"
    if {record["generation_id"], entry["generation_id"]} != {bought["taskId"]}:
        yield f"{entry['name']} is not the generation {bought['taskId']}"
    if not video.startswith(stage.original(bought["taskId"])):
        yield f"{entry['name']} is not the original video"


def _ledger(production: Production, books: Json) -> Iterator[str]:
    """Compare the acceptances in the ledger with those of the sandbox."""
    records = production.files("attempt-*/accepted.json")
    known = [json.loads(record.read_text(encoding="utf-8"))["generation_id"] for record in records]
    accepted = {generation["taskId"] for generation in books["generations"]}
    yield from (f"{each} was paid for, but is missing in the ledger" for each in accepted - set(known))
    yield from (f"{each} is in the ledger, but was never accepted" for each in set(known) - accepted)
    if SECONDS * len(known) != books["totals"]["paid_seconds"]:
        yield f"the ledger has {SECONDS * len(known)} s, and {books['totals']['paid_seconds']} s were paid"


def staged(production: Production) -> list[Path]:
    """Return the partial files of killed writers."""
    return [production.archive / path for path in _files(production.archive) if _STAGED.search(path)]


def backdate(paths: list[Path]) -> None:
    """Set the modification time of files to an hour ago."""
    then = time.time() - _LONG_AGO_SECONDS
    for path in paths:
        os.utime(path, (then, then))


def _files(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
