"""The rules of a campaign for a whole production, once it is complete and rescued."""

import hashlib
import io
import re
from collections.abc import Iterator

from benchmarks.campaign.archive import Json
from benchmarks.campaign.clip_list import SECONDS
from benchmarks.campaign.production import Production
from benchmarks.campaign.stage import Stage
from prefect_seedance.video.probe import probe

_KNOWN_KEYS = re.compile(
    r"clips/[0-9a-f]{32}/(attempt-\d{3}/(intent|called|no-answer|(late-)?(accepted|outcome))\.json|clip\.json|refused\.mp4"
    r"|(clip|look|still)-[0-9a-f]{12}(-(start|middle|end))?\.(mp4|json|jpg))"
    r"|images/[0-9a-f]{64}\.png|probes/[0-9a-f]{16}"
    r"|productions/[a-z0-9-]+/((storyboard|manifest|film|report)\.json|film(-[0-9a-f]{12})?\.mp4"
    r"|clips/\d+ [^/]+\.mp4"
    r"|report\.html|contact-sheet\.jpg|bought/[0-9a-f]{32})"
)


def whole(stage: Stage, production: Production) -> Iterator[str]:
    """Check a complete production."""
    books, bought = stage.books(), dict[str, list[Json]]()
    for generation in books["generations"]:
        bought.setdefault(generation["prompt"], []).append(generation)
    for prompt, generations in bought.items():
        if len(generations) > 1:
            yield f"{prompt} was bought {len(generations)} times"
        if prompt not in production.clip_list.prompts:
            yield f"{prompt} was bought, but never requested"
    for entry in production.manifest()["clips"]:
        yield from _clip(production, entry, bought.get(entry["name"], []))
    yield from _archived(stage, production, books)
    yield from _ledger(production, books)
    yield from (
        f"{name}: {books['totals'][name]}"
        for name in ("duplicates", "foreign_headers", "in_flight")
        if books["totals"][name]
    )
    for key in production.archive.keys(below=""):
        if not _KNOWN_KEYS.fullmatch(key):
            yield f"{key} is not a known object of the archive"
    for path in stage.temporary_folder.rglob("*"):
        if path.is_file():
            yield f"{path} is left in the temporary folder"


def _clip(production: Production, entry: Json, bought: list[Json]) -> Iterator[str]:
    """Compare what the manifest says about a clip with what the API did."""
    name, status, reason = entry["name"], entry["status"], entry["reason"] or ""
    if not bought:
        if (status, entry["cause"]) != ("failed", "ContentRejectedError"):
            yield f"{name} is {status}, and nothing was bought: {reason}"
    elif bought[0]["state"] == "failed":
        videos = production.archive.keys("clip-*.mp4", below=f"clips/{entry['fingerprint']}/")
        if status != "failed" or bought[0]["fail_code"] not in reason or videos:
            yield f"{name} failed with {bought[0]['fail_code']}, and is {status}: {reason}"
    elif bought[0]["state"] != "success":
        yield f"{name} is {status} in a complete production, but its generation is {bought[0]['state']}"
    elif status not in {"made", "reused"}:
        yield f"{name} is lost: the API produced it, but it is {status}: {reason}"
    elif entry["generation_id"] != bought[0]["taskId"]:
        yield f"{name} is not the generation {bought[0]['taskId']}"


def _archived(stage: Stage, production: Production, books: Json) -> Iterator[str]:
    """Check that the video of each success is archived, whatever the clip list contains today.

    A video is compared with its record, and with the original, which padding may follow.
    """
    records = {each["generation_id"]: each for each in production.archive.records("clip.json").values()}
    for generation in books["generations"]:
        name, record = generation["prompt"], records.get(generation["taskId"])
        if generation["state"] != "success":
            continue
        if record is None:
            yield f"{name} is lost: the API produced {generation['taskId']}, and it is not archived"
            continue
        video = production.archive.read(record["key"])
        if hashlib.sha256(video).hexdigest() != record["sha256"]:
            yield f"{name} does not match the digest in its record"
        if probe(io.BytesIO(video)).model_dump() != record["facts"]:
            yield f"{name} does not match the facts in its record"
        if not video.startswith(stage.original(generation["taskId"])):
            yield f"{name} is not the original video"


def _ledger(production: Production, books: Json) -> Iterator[str]:
    """Compare the acceptances in the ledger with those of the sandbox."""
    known = production.archive.accepted()
    accepted = {generation["taskId"] for generation in books["generations"]}
    yield from (f"{each} was paid for, but is missing in the ledger" for each in accepted - set(known))
    yield from (f"{each} is in the ledger, but was never accepted" for each in set(known) - accepted)
    if SECONDS * len(known) != books["totals"]["paid_seconds"]:
        yield f"the ledger has {SECONDS * len(known)} s, and {books['totals']['paid_seconds']} s were paid"
