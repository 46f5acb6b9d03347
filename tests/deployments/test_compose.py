"""The services of `deployments/compose.yaml`, which no engine starts here."""

import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import prefect.settings
import pytest
import yaml
from prefect.cli._app import _app as prefect_app
from prefect_redis.client import RedisMessagingSettings

from prefect_seedance.cli import app
from tests.pages import blocks

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deployments/compose.yaml"
TEXT = FILE.read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = (ROOT / "deployments/env.example").read_text(encoding="utf-8")
NAMES = re.findall(r"^(?:# )?(\w+)=", EXAMPLE, re.MULTILINE)
HAS_COMPOSE = (
    shutil.which("docker") is not None
    and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
)


def environments() -> Iterator[tuple[str, str]]:
    """Yield the environment variables of all services, with their values."""
    for service in SERVICES.values():
        yield from ((name, str(value or "")) for name, value in service.get("environment", {}).items())


def test_schema_accepts_it() -> None:
    """The file follows the schema of the Compose specification."""
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FILE)

    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(not HAS_COMPOSE, reason="docker compose is not installed; its schema is checked anyway")
def test_docker_accepts_it(tmp_path: Path) -> None:
    """Docker Compose can render the file with the variables of the example."""
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in NAMES), encoding="utf-8")
    command = ("docker", "compose", "--env-file", tmp_path / ".env", "--file", FILE, "config", "--quiet")

    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert checked.returncode == 0, checked.stderr


def test_dependencies_exist() -> None:
    """Each service waits for services that exist and report their health, or that end."""
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            ends = wait["condition"] == "service_completed_successfully"
            is_checked = "healthcheck" in SERVICES[other] or "prefect-seedance" in SERVICES[other]["image"]
            assert ends == SERVICES[other].get("healthcheck", {}).get("disable", False), (name, other)
            assert ends or is_checked, (name, other)


def test_secrets_come_from_outside() -> None:
    """No secret has a value or a default in the file, and each missing one is an error."""
    secret = re.compile(r"KEY|SECRET|PASSWORD|AUTH")
    found = {name: value for name, value in environments() if secret.search(name)}
    used = re.findall(r"\$\{(\w+)([^}]*)\}", TEXT)

    assert all(re.fullmatch(r"\$\{\w+:\?[^}]+\}", value) for value in found.values()), found
    assert {rest for name, rest in used if secret.search(name)} == {":?is missing in deployments/.env"}


def test_example_names_all_variables() -> None:
    """`env.example` has each variable that the file uses, without a value."""
    used = {name for name, _ in re.findall(r"\$\{(\w+)([^}]*)\}", TEXT)}
    passed = {name for name, value in environments() if not value}

    assert sorted(NAMES) == sorted(used | passed)
    assert re.findall(r"^\w+=(.+)$", EXAMPLE, re.MULTILINE) == []


def test_secrets_stay_out_of_git() -> None:
    """Git ignores the file with the values, so it is in no commit and in no sdist."""
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", "deployments/.env"], cwd=ROOT, capture_output=True, check=False
    )

    assert ignored.returncode == 0


def test_images_have_versions() -> None:
    """No image is the latest one, whatever it is."""
    images = {service["image"] for service in SERVICES.values()}

    assert all(re.fullmatch(r"[\w./-]+:(\d[\w.-]*|\$\{SEEDANCE_TAG:-local\})", image) for image in images), (
        images
    )


def test_ports_are_local() -> None:
    """Ports are published on the loopback interface, and the database has a network of its own."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    inside = {name for name, service in SERVICES.items() if "database" in service.get("networks", [])}

    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert inside == {"postgres", "redis", "server"}


def test_volumes_have_names() -> None:
    """What must survive is in named volumes."""
    used = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]

    assert sorted(used) == sorted(COMPOSE["volumes"])


def test_settings_exist() -> None:
    """Prefect and its integration for Redis know each of the settings."""
    redis = {f"PREFECT_REDIS_MESSAGING_{field.upper()}" for field in RedisMessagingSettings.model_fields}

    settings = {name for name, _ in environments() if name.startswith("PREFECT_")}

    assert [name for name in sorted(settings - redis) if not hasattr(prefect.settings, name)] == []


def test_redis_modules_fit() -> None:
    """Each module that the server loads has what the server loads from it."""
    needed = {
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": {"Publisher", "Consumer"},
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": {"Cache"},
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": {"CausalOrdering"},
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": {"ConcurrencyLeaseStorage"},
    }
    settings: Mapping[str, str] = SERVICES["server"]["environment"]

    modules = {name: importlib.import_module(settings[name]) for name in needed}

    assert {
        name: {each for each in needed[name] if hasattr(modules[name], each)} for name in needed
    } == needed


def commands() -> Iterator[object]:
    """Return each command of Prefect or this package in the shipped files."""
    cmd = re.search(
        r"^CMD (.*)$", (ROOT / "deployments/Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert cmd
    yield pytest.param(json.loads(cmd[1]), id="Dockerfile")
    for name, service in SERVICES.items():
        if service.get("command", [""])[0] in {"prefect", "prefect-seedance"}:
            yield pytest.param(service["command"], id=name)
    page = "".join(block.text for block in blocks(ROOT / "deployments/README.md", "bash")).replace(
        "\\\n", " "
    )
    for number, line in enumerate(re.findall(r"^ *(prefect [^\n]*)", page, re.MULTILINE)):
        yield pytest.param(shlex.split(line, comments=True), id=f"README {number}")


@pytest.mark.parametrize("words", list(commands()))
def test_commands_exist(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command exists, and accepts its options."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SEEDANCE_ARCHIVE", "s3://films")
    program = app if words[0] == "prefect-seedance" else prefect_app

    program.parse_args(
        [word for word in words[1:] if word != "--no-prompt"], exit_on_error=False, print_error=False
    )
