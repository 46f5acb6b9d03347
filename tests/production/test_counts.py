"""What a production costs, in counts: requests, records, objects, flushes and decodes, but no times."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
import pytest

from prefect_seedance.options import Output
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.video import decoding
from tests.processes import Sandbox
from tests.production.conftest import PLAIN, SOUNDS, make, prepare_sounds

CLIPS = len(SOUNDS.clips)
FULL = Output(film=True, report=True)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count writes, flushes and decodes from now on, and the writes by the names of their objects."""
    counts = Counter[str]()

    def counted(owner: object, name: str, key: Callable[..., str]) -> None:
        inner = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 -- whatever the function takes
            counts[key(*arguments)] += 1
            return inner(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    counted(obstore, "put_async", lambda _store, key, *_: _kind(key))
    counted(obstore, "copy_async", lambda _store, _source, key: _kind(key))
    counted(os, "fsync", lambda *_: "flushes")
    counted(decoding._Child, "ask", lambda *_: "decodes")
    return counts


def _kind(key: str) -> str:
    """Return an object's name without what differs between clips."""
    parent, _, name = key.rpartition("/")
    if parent.endswith("/bought"):
        return "bought"
    return "probe" if parent == "probes" else name.partition("-")[0]


async def test_run_without_outputs(settings: RunSettings, counts: Counter[str], sandbox: Sandbox) -> None:
    """A clip takes one submission, three records of its attempt, one video, its record, and one decode."""
    await make(await prepare_sounds(settings, output=PLAIN))

    flushes = counts.pop("flushes")
    assert counts == {
        "probe": 2,
        "storyboard.json": 1,
        "bought": CLIPS,
        "intent.json": CLIPS,
        "accepted.json": CLIPS,
        "outcome.json": CLIPS,
        "clip": CLIPS,
        "clip.json": CLIPS,
        "decodes": CLIPS,
        "manifest.json": 2,
    }
    # A file and its folder for each object, and the folders above only when they are new.
    assert flushes <= 2 * (counts.total() - counts["decodes"]) + 4 * CLIPS + 8
    totals = sandbox.totals()
    assert (totals["submits_received"], totals["file_requests"]) == (CLIPS, CLIPS)


async def test_film_and_report_decode_nothing(settings: RunSettings, counts: Counter[str]) -> None:
    """With film and report, each clip is still decoded once, and has three stills and one inspection more."""
    manifest = await make(await prepare_sounds(settings, output=FULL))

    assert manifest.film
    assert manifest.report
    assert counts["decodes"] == CLIPS
    written = {name: counts[name] for name in ("still", "look", "report.html", "contact", "film.json")}
    assert written == {"still": 3 * CLIPS, "look": CLIPS, "report.html": 1, "contact": 1, "film.json": 1}


async def test_complete_run_writes_manifest_only(
    settings: RunSettings, counts: Counter[str], sandbox: Sandbox
) -> None:
    """If everything exists, a run sends the API nothing, and writes nothing but the manifest."""
    await make(await prepare_sounds(settings, output=FULL))
    before = sandbox.totals()
    counts.clear()

    manifest = await make(await prepare_sounds(settings, output=FULL))

    assert manifest.is_complete
    assert manifest.report
    assert all(entry.inspection and entry.seams for entry in manifest.clips)
    assert sandbox.totals() == before
    del counts["flushes"]
    assert set(counts) == {"manifest.json"}


async def test_late_record_is_shown(settings: RunSettings, counts: Counter[str], archive: Path) -> None:
    """A page is written again if an attempt at an archived clip has got another record."""
    manifest = await make(await prepare_sounds(settings, output=FULL))
    first = archive / "clips" / manifest.clips[0].fingerprint / "attempt-001/intent.json"
    second = first.parent.with_name("attempt-002") / first.name
    second.parent.mkdir()
    second.write_text(first.read_text(encoding="utf-8").replace('"number": 1', '"number": 2'))
    counts.clear()

    await make(await prepare_sounds(settings, output=FULL))

    del counts["flushes"]
    assert set(counts) == {"manifest.json", "report.html", "report.json", "contact"}


async def test_missing_page_is_written_again(
    settings: RunSettings, counts: Counter[str], archive: Path
) -> None:
    """A page that was deleted is written again, and nothing else."""
    manifest = await make(await prepare_sounds(settings, output=FULL))
    (archive / str(manifest.report)).unlink()
    counts.clear()

    await make(await prepare_sounds(settings, output=FULL))

    assert (archive / str(manifest.report)).is_file()
    del counts["flushes"]
    assert set(counts) == {"manifest.json", "report.html", "report.json", "contact"}
