"""An archive as a judge reads it: in a folder or a bucket, through the store alone."""

import asyncio
import fnmatch
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_seedance.storage.store import Store

Json = Mapping[str, Any]

_STAGED = re.compile(r"#\d+$")
_LONG_AGO_SECONDS = 7200.0


@dataclass(frozen=True)
class Archive:
    """An archive, read from one thread.

    Attributes:
        folder: The folder, unless it is a bucket.
        runner: Runs the store's coroutines.
    """

    url: str
    store: Store
    folder: Path | None
    runner: asyncio.Runner

    def keys(self, pattern: str = "", *, below: str = "clips/") -> Sequence[str]:
        """Return the keys below a prefix, or those whose last names match a pattern."""
        found = self.runner.run(self.store.keys(below))
        return fnmatch.filter(found, f"*/{pattern}") if pattern else found

    def read(self, key: str) -> bytes:
        """Return an object, empty if there is none."""
        return self.runner.run(self.store.read(key)) or b""

    def record(self, key: str) -> Json:
        """Return a record."""
        return dict(json.loads(self.read(key)))

    def records(self, pattern: str) -> Mapping[str, Json]:
        """Return the records that match a pattern below `clips/`, by key."""
        return {key: self.record(key) for key in self.keys(pattern)}

    def accepted(self) -> Sequence[str]:
        """Return the ids of all generations in the ledger."""
        return [str(each["generation_id"]) for each in self.records("attempt-*/*accepted.json").values()]

    def archived(self) -> set[str]:
        """Return the ids of all generations whose video is recorded."""
        return {str(each["generation_id"]) for each in self.records("clip.json").values()}

    def open_intents(self) -> Sequence[Json]:
        """Return the intents without acceptance and without outcome."""
        keys = set(self.keys())
        return [
            self.record(key)
            for key in fnmatch.filter(keys, "*/intent.json")
            if not {key.replace("intent", record) for record in ("accepted", "outcome")} & keys
        ]

    def staged(self) -> Sequence[Path]:
        """Return the partial files of killed writers, and their probes; in a bucket, age removes those."""
        if self.folder is None:
            return []
        partial = [path for path in self.folder.rglob("*#*") if _STAGED.search(path.name)]
        return [*partial, *self.folder.glob("probes/*")]

    def backdate_staged(self) -> int:
        """Set the modification time of these files to two hours ago, and count them."""
        then = time.time() - _LONG_AGO_SECONDS
        for path in self.staged():
            os.utime(path, (then, then))
        return len(self.staged())
