"""Build the wheel, and install it for the Pythons of this machine into environments of its own."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).parents[1]
_UV = (sys.executable, "-m", "uv", "--quiet", "--no-config")

_VERSION = "import sys; print(*sys.version_info[:2], sep='.')"
_PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"


def supported() -> list[str]:
    """Return the versions of Python that pyproject.toml names, the oldest first."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return sorted(re.findall(r'"Programming Language :: Python :: (\d+\.\d+)"', text), key=Version)


@cache
def find_pythons() -> dict[str, Path]:
    """Return the supported Pythons of this machine, the oldest first: on the PATH, or installed by pyenv."""
    return {version: python for version in supported() if (python := _find(version))}


def _find(version: str) -> Path | None:
    of_pyenv = sorted(_PYENV.glob(f"{version}.*/bin/python"), reverse=True)
    on_path = shutil.which(f"python{version}")
    current = Path(sys.executable)
    return next((each for each in (current, *of_pyenv, Path(on_path or "")) if _is(each, version)), None)


def _is(python: Path, version: str) -> bool:
    """Whether a Python runs, unlike a stub of pyenv, and has this version."""
    return python.is_file() and _run(python, "-c", _VERSION, check=False).strip() == version


def build(folder: Path, *kinds: str) -> None:
    """Build wheel and sdist, or the kinds given, into a folder."""
    _run(sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", folder, ROOT)


def create_environment(folder: Path, *, python: Path) -> Path:
    """Create an empty environment, and return the folder of its commands."""
    _run(*_UV, "venv", "--python", python, folder)
    return folder / "bin"


def resolve(resolution: str, *, python: Path) -> str:
    """Return pins for the package and its extra ``aws`` on this Python, in the form of a requirements file.

    Args:
        resolution: For uv. It applies to the requirements in pyproject.toml: of the wheel's own requirements,
            ``lowest-direct`` would take the newest releases, because only the wheel is direct.
        python: The Python to resolve for.
    """
    options = ("--extra", "aws", "--no-header", "--no-annotate", "--resolution", resolution)
    return _run(*_UV, "pip", "compile", "--python", python, *options, ROOT / "pyproject.toml")


def install(environment: Path, *what: object) -> None:
    """Install into the environment with this folder of commands, as ``uv pip install`` does."""
    _run(*_UV, "pip", "install", "--python", environment / "python", *what)


def versions(environment: Path) -> str:
    """Return what is installed, in the form of a requirements file."""
    return _run(*_UV, "pip", "freeze", "--python", environment / "python")


def _run(*command: object, check: bool = True) -> str:
    """Run a command, and return its output."""
    words = list(map(str, command))
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=check).stdout
