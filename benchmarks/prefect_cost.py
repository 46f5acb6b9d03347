"""Measure what a production costs Prefect's server: rows, log lines and bytes of its database.

Run: python -m benchmarks.prefect_cost [--clips 20] [--json]
"""

import argparse
import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.processes import ROOT, environment, sandboxes, serving_prefect

_TABLES = ("task_run", "task_run_state", "flow_run_state", "events", "event_resources", "log", "artifact")

_QUIET_SECONDS = 15.0
"""Prefect sends logs and stores events some seconds late: the counts must stay the same for so long."""

_MEGA = 1_000_000


def main() -> None:
    """Run one production on a new server, and print what the server has stored of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), clips=options.clips)
    print(json.dumps(found, indent=2) if options.json else table(found))


def measure(home: Path, *, clips: int) -> Mapping[str, Any]:
    """Return the figures of one run, and the kinds of its events and log lines."""
    server_home = home / "server"
    server_home.mkdir()
    with serving_prefect(server_home) as url, sandboxes(home) as start:
        sandbox = start(speed=20)
        env = environment(home / "client", PREFECT_API_URL=url, **sandbox.env)
        _run(0, home / "warm-up", env)  # so that the tables have their first pages
        database = server_home / "prefect.db"
        before = _settled(database)
        _run(clips, home / "archive", env)
        after = _settled(database)
        return {
            "prefect": version("prefect"),
            "clips": clips,
            "rows": {name: after[name] - before[name] for name in (*_TABLES, "bytes")},
            "events": _kinds(database, "SELECT event FROM events"),
            "bytes": _bytes_by_table(database),
            "logs": _kinds(database, "SELECT name || ': ' || substr(message, 1, 28) FROM log"),
        }


def _run(clips: int, archive: Path, env: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", __spec__.name, "produce", str(clips), str(archive)]
    subprocess.run(command, env=dict(env), cwd=ROOT, check=True)


def produce(clips: int, archive: Path) -> None:
    """Make a film of text-to-video clips in a flow run, with its report."""
    from prefect import flow

    from prefect_seedance import ClipList, ClipSpec, Output, Waiting
    from prefect_seedance import produce as make

    @flow(name="produce")
    async def run() -> str:
        specs = tuple(ClipSpec(prompt=f"drifting clouds, number {number}") for number in range(clips))
        manifest = await make(
            ClipList(title="Prefect cost", defaults={"resolution": "480p"}, clips=specs),
            archive=str(archive),
            waiting=Waiting(first_poll_seconds=1, poll_every_seconds=1),
            output=Output(film=True),
        )
        return manifest.summary()

    @flow(name="warm-up")
    async def warm_up() -> None:
        pass

    asyncio.run(run() if clips else warm_up())


def _settled(database: Path) -> Mapping[str, int]:
    """Return the number of rows of each table and the bytes in use, once they stay the same."""
    counts, since = _counts(database), time.monotonic()
    while time.monotonic() < since + _QUIET_SECONDS:
        time.sleep(1)
        if (now := _counts(database)) != counts:
            counts, since = now, time.monotonic()
    return counts


def _counts(database: Path) -> Mapping[str, int]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:

        def number(query: str) -> int:
            return int(connection.execute(query).fetchone()[0])

        pages = number("PRAGMA page_count") - number("PRAGMA freelist_count")
        rows = {name: number(f"SELECT count(*) FROM {name}") for name in _TABLES}  # noqa: S608 -- our own names
        return {**rows, "bytes": pages * number("PRAGMA page_size")}


def _bytes_by_table(database: Path) -> Mapping[str, int]:
    """Return the bytes in use of the largest tables, with their indices, after the whole run."""
    tables = "SELECT tbl_name, sum(pgsize) AS bytes FROM dbstat JOIN sqlite_schema USING (name) GROUP BY 1"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        return dict(connection.execute(f"{tables} ORDER BY bytes DESC LIMIT 8"))


def _kinds(database: Path, query: str) -> Mapping[str, int]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        return dict(Counter(kind for (kind,) in connection.execute(query)).most_common())


def table(found: Mapping[str, Any]) -> str:
    """Return the figures as Markdown tables."""
    clips = found["clips"]
    rows = {**found["rows"], "MB": found["rows"]["bytes"] / _MEGA}
    del rows["bytes"]
    lines = [f"| Prefect {found['prefect']}, {clips} clips | all | a clip |", "| --- | --- | --- |"]
    lines += [f"| {name} | {number:,.4g} | {number / clips:.3g} |" for name, number in rows.items()]
    for name in ("bytes", "events", "logs"):
        lines += ["", f"| {name} | |", "| --- | --- |"]
        lines += [f"| {kind} | {number:,} |" for kind, number in found[name].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["produce"]:
        produce(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
