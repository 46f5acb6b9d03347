"""The machine and the installation that a benchmark runs on."""

import compileall
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from tests.processes import ROOT


def machine() -> Mapping[str, object]:
    """Return the date, the machine, the versions and the load, for the file of figures."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "prefect": version("prefect"),
        "load": os.getloadavg(),
    }


def compile_package() -> None:
    """Compile the package, as pip does; with PYTHONDONTWRITEBYTECODE, each process would otherwise do it."""
    compileall.compile_dir(ROOT / "prefect_seedance", quiet=1)
