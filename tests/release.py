"""Check everything that a release publishes.

Run: make release-check, or .venv/bin/python -m tests.release [--keep FOLDER]
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cyclopts import App

import prefect_seedance
from tests.processes import environment
from tests.pythons import ROOT, build, create_environment, find_pythons, install

_STEP_SECONDS = 600.0

_EPOCH = "1767225600"
"""2026-01-01, as the date of all files; without it, sdists have the dates of the checkout."""

app = App(name="release", help=__doc__)


@app.default
def release(*, keep: Path | None = None) -> None:
    """Build twice, check, install and run; copy the checked files to a folder."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", _EPOCH)
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        folder = Path(name)
        _check_version()
        first, second = (_build(folder / each) for each in ("first", "second"))
        _require(_digests(first) == _digests(second), "Two builds differ")
        wheel, sdist = _one(first, "*.whl"), _one(first, "*.tar.gz")
        _call(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
        _call(sys.executable, "-m", "check_wheel_contents", wheel)
        for each in (wheel, sdist):
            commands = _install(each, folder / f"environment-{each.suffix[1:]}")
            _call(commands / "prefect-seedance", "demo", cwd=commands.parent)
            _check_types(commands, folder / f"types-{each.suffix[1:]}")
        if keep:
            shutil.copytree(first, keep, dirs_exist_ok=True)
        print(*(f"{digest}  {file}" for file, digest in _digests(first).items()), sep="\n")


def _check_version() -> None:
    """Require that the changelog has the version, and that a tag, if there is one, names it."""
    version, tag = prefect_seedance.__version__, os.environ.get("RELEASE_TAG", "")
    _require(tag in {"", f"v{version}"}, f"The tag {tag} is not v{version}; change __version__ or the tag")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    _require(
        not tag or re.search(heading, changelog, re.MULTILINE) is not None,
        f"CHANGELOG.md has no section [{version}] with a date; rename [Unreleased]",
    )


def _build(folder: Path) -> Path:
    build(folder, "--sdist", "--wheel")
    return folder


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder."""
    files = sorted(folder.iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _install(file: Path, folder: Path) -> Path:
    """Install a wheel or an sdist into an empty environment, and return the folder of its commands."""
    commands = create_environment(folder, python=next(iter(find_pythons().values())))
    install(commands, file)
    return commands


def _check_types(commands: Path, folder: Path) -> None:
    """Check a program that uses the installed package, away from the checkout."""
    folder.mkdir()
    program = shutil.copy(ROOT / "tests/typing/consumer.py", folder)
    python = commands / "python"
    mypy = (sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache")
    _call(*mypy, "--python-executable", python, program, cwd=folder)
    _call(sys.executable, "-m", "pyright", "--pythonpath", python, program, cwd=folder)


def _one(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file


def _call(*command: object, cwd: Path = ROOT) -> None:
    words = [*map(str, command)]
    print("$", *words, flush=True)
    subprocess.run(
        words, cwd=cwd, env=environment(cwd / "prefect", PYTHONPATH=""), check=True, timeout=_STEP_SECONDS
    )


def _require(condition: bool, otherwise: str) -> None:  # noqa: FBT001 -- reads as a sentence
    if not condition:
        sys.exit(otherwise)


if __name__ == "__main__":
    app()
