"""PostgreSQL, from Debian's package, as the database of a Prefect server."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.processes import free_port, running

_PROGRAMS = Path("/usr/lib/postgresql")
_INSTALL_SECONDS = 600.0
_START_SECONDS = 120.0

_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""A test's database need not survive a power failure."""


@contextlib.contextmanager
def serving_postgres() -> Iterator[str]:
    """Run a PostgreSQL server with an empty database, and yield the URL for Prefect's setting."""
    programs, user = _programs(), _unprivileged_user()
    # Not in a folder of pytest, which only its own user may enter.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if user:
            shutil.chown(folder, user["user"], user["group"])
        data, port = Path(folder, "data"), free_port()
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        create = (programs / "initdb", "-D", data, "-U", "prefect", "-A", "trust", "-E", "UTF8", "--no-sync")
        subprocess.run(list(map(str, create)), check=True, capture_output=True, cwd=folder, env=env, **user)
        settings = [word for each in (*_FAST, "max_connections=200") for word in ("-c", each)]
        serve = (programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", folder, *settings)
        with Path(folder, "log").open("w+") as log:
            options = {"cwd": folder, "stdout": log, "stderr": subprocess.STDOUT, **user}
            with running(*serve, env=env, **options) as process:
                _wait_until_ready(programs, port, process, log=Path(log.name))
                yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"


def _programs() -> Path:
    """Return the folder of the newest PostgreSQL's programs; install it if this process may."""
    if not (found := _newest()) and os.geteuid() == 0 and shutil.which("apt-get"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "postgresql"]):
            subprocess.run(
                ["apt-get", *words], env=env, capture_output=True, timeout=_INSTALL_SECONDS, check=False
            )
        found = _newest()
    if not found:
        pytest.skip("PostgreSQL is not installed; install Debian's package postgresql")
    return found


def _newest() -> Path | None:
    found = [path.parent for path in _PROGRAMS.glob("*/bin/initdb")]
    return max(found, key=lambda programs: float(programs.parent.name), default=None)


def _unprivileged_user() -> Mapping[str, Any]:
    """Return the options of a process that does not run as root, as which PostgreSQL refuses to start."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _wait_until_ready(programs: Path, port: int, process: subprocess.Popen[str], *, log: Path) -> None:
    command = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    latest = time.monotonic() + _START_SECONDS
    while subprocess.run(command, check=False).returncode:
        if process.poll() is not None or time.monotonic() > latest:
            pytest.fail(f"PostgreSQL did not start:\n{log.read_text()}")
        time.sleep(0.2)
