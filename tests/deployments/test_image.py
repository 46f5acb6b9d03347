"""The image of `deployments/Dockerfile`, which no engine builds here."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deployments"
TEXT = (FOLDER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def arguments(instruction: str) -> list[str]:
    """Return the arguments of an instruction, in order."""
    return [line.partition(" ")[2].strip() for line in LINES if line.split()[0] == instruction]


def test_linter_accepts_it() -> None:
    """The linter finds nothing to improve."""
    linter = Path(sys.executable).with_name("hadolint")

    linted = subprocess.run(
        [linter, FOLDER / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (linted.returncode, linted.stdout) == (0, "")


def test_processes_are_not_root() -> None:
    """The last stage ends with a numeric user, which Kubernetes can check."""
    assert arguments("USER") == ["1000:1000"]
    assert LINES.index("USER 1000:1000") > max(index for index, line in enumerate(LINES) if "FROM" in line)


def test_base_has_a_version() -> None:
    """All stages have one base, with a version of Python that the package supports."""
    assert arguments("ARG")[0] == "BASE=python:3.13-slim"
    assert {base.split()[0] for base in arguments("FROM")} == {"${BASE}"}


def test_context_has_no_secrets() -> None:
    """Only the constraints and the wheels enter the build, and no instruction takes a secret."""
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()

    assert [line for line in ignored if not line.startswith("#")] == ["*", "!constraints.txt", "!dist/*.whl"]
    assert arguments("COPY") == [
        "constraints.txt dis[t]/*.whl ./",
        "--from=build /opt/seedance /opt/seedance",
    ]
    assert arguments("ADD") == []
    assert not re.search(
        r"key|secret|password|token", " ".join([*arguments("ARG"), *arguments("ENV")]), re.IGNORECASE
    )


def test_default_command_is_healthy() -> None:
    """The default command serves what the health check reads."""
    check = shlex.split(arguments("HEALTHCHECK")[0].partition("CMD ")[2].strip("[]"))

    assert "--with-healthcheck" in json.loads(arguments("CMD")[0])
    assert "http://127.0.0.1:8080/health" in " ".join(check)
