"""One status of a clip, from the ledger through manifest and report to the plan."""

import asyncio
import json
import re
import shutil
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import get_type_hints

import pytest

from prefect_seedance.cli import ledger as ledger_command
from prefect_seedance.cli import main
from prefect_seedance.cli.forecast import Action, action_for
from prefect_seedance.clips.history import ClipStatus, clip_histories
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.errors import DeadlineError
from prefect_seedance.options import RetryPolicy
from prefect_seedance.production.progress import Progress
from prefect_seedance.report.manifest import Entry, Manifest, read_manifest, record, status_of
from prefect_seedance.report.render import render_report
from prefect_seedance.storage.store import Store
from tests.processes import ROOT
from tests.records import (
    FAILED,
    SUCCEEDED,
    manifest_of,
    planned_clip,
    record_archived,
    record_in_flight,
    record_outcome,
    record_unresolved,
)

OLD_ARCHIVE = ROOT / "tests/data/archive-0.1/archive"


async def produce(folder: Path) -> Manifest:
    """Record five clips of different statuses, and the manifest of their production."""
    store, entries = Store.open(str(folder)), []
    await record_archived(store, planned_clip(1))
    await record_outcome(store, planned_clip(2), FAILED)
    await record_unresolved(store, planned_clip(3))
    await record_in_flight(store, planned_clip(4))
    await record_outcome(store, planned_clip(5), SUCCEEDED)
    for number in range(1, 6):
        (history,) = (await clip_histories(store, [planned_clip(number).fingerprint])).values()
        status = ClipStatus.reused if history.clip else status_of(history.decisive, DeadlineError("too late"))
        entries.append(
            Entry.of(planned_clip(number), status, attempt=history.decisive, archived=history.clip)
        )
    manifest = manifest_of(*entries)
    await record(manifest, store)
    return manifest


class _Statuses(HTMLParser):
    """Collects the texts of a page's status labels."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._is_status = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_status = tag == "span" and (dict(attrs).get("class") or "").startswith("status ")

    def handle_data(self, data: str) -> None:
        if self._is_status:
            self.found.append(data)
        self._is_status = False


def test_places_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ledger, stored manifest and report say the same of each clip, in the words of one enum."""
    manifest = asyncio.run(produce(tmp_path))
    report = asyncio.run(_report(tmp_path, manifest))

    assert main(["ledger", str(tmp_path), "--json"]) == 0
    listed = {line["fingerprint"]: line["status"] for line in json.loads(capsys.readouterr().out)["clips"]}

    stored = [str(entry.status) for entry in asyncio.run(_stored(tmp_path)).clips]
    assert stored == ["reused", "failed", "unresolved", "in flight", "not archived"]
    assert [listed[planned_clip(number).fingerprint] for number in (2, 3, 4, 5)] == stored[1:]
    assert set(_Statuses(report).found) == set(stored)


@pytest.mark.parametrize(
    ("model", "field"), [(Entry, "status"), (ledger_command.Line, "status"), (Progress, "status")]
)
def test_status_has_one_type(model: type, field: str) -> None:
    """Manifest entries, lines of the ledger and progress have the same type of status."""
    assert get_type_hints(model)[field] is ClipStatus


def test_plan_follows_status(tmp_path: Path) -> None:
    """The plan decides by the status in the ledger."""
    asyncio.run(produce(tmp_path))

    actions = asyncio.run(_actions(tmp_path))

    assert actions == {
        ClipStatus.archived: Action.reuse,
        ClipStatus.failed: Action.keep_failed,
        ClipStatus.unresolved: Action.keep_unresolved,
        ClipStatus.in_flight: Action.wait,
        ClipStatus.not_archived: Action.archive,
    }


@pytest.mark.parametrize("production", ["lighthouse", "lighthouse-cutaways"])
def test_reads_manifest_of_0_1(production: str, tmp_path: Path) -> None:
    """A manifest that version 0.1 wrote, with "standing", is read, and written with "status"."""
    archive = shutil.copytree(OLD_ARCHIVE, tmp_path / "archive")
    path = archive / f"productions/{production}/manifest.json"
    before = json.loads(path.read_text(encoding="utf-8"))

    manifest = asyncio.run(_rewrite(archive, production))

    after = json.loads(path.read_text(encoding="utf-8"))
    old = [entry["standing"] for entry in before["clips"]]
    assert [str(entry.status) for entry in manifest.clips] == old
    assert [entry["status"] for entry in after["clips"]] == old
    assert "standing" not in path.read_text(encoding="utf-8")


def test_old_words_are_statuses() -> None:
    """Every word that version 0.1 used for a clip is a status."""
    text = "".join(
        path.read_text(encoding="utf-8") for path in OLD_ARCHIVE.glob("productions/*/manifest.json")
    )

    words = set(re.findall(r'"standing": "([^"]+)"', text))

    assert words
    assert words <= {str(status) for status in ClipStatus}


async def _rewrite(archive: Path, production: str) -> Manifest:
    store = Store.open(str(archive))
    manifest = await read_manifest(store, production)
    await record(manifest, store)
    return await read_manifest(store, production)


async def _stored(archive: Path) -> Manifest:
    return await read_manifest(Store.open(str(archive)), "")


async def _report(archive: Path, manifest: Manifest) -> str:
    store = Store.open(str(archive))
    content = await store.read((await render_report(manifest, store)).key)
    assert content
    return content.decode()


async def _actions(archive: Path) -> Mapping[ClipStatus, Action]:
    store = Store.open(str(archive))
    histories = await clip_histories(store, [planned_clip(number).fingerprint for number in range(1, 6)])
    assert await Ledger(store).fingerprints()
    return {history.status: action_for(history, RetryPolicy()) for history in histories.values()}
