"""Names of options, of fields of the account and of commands, as messages write them."""

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import prefect_seedance
from flows.generate_clips import generate_clips
from flows.storyboard_to_transitions import storyboard_to_transitions
from prefect_seedance import SeedanceClip, doors, produce
from prefect_seedance.cli import main
from prefect_seedance.doors import Door, entered, option, through

_SOURCE = Path(prefect_seedance.__file__).parent
_WRITTEN_BY = (
    "cli/",
    "sandbox/",
    "orchestration/deploy.py",
    "orchestration/work_pools.py",
    "doors.py",
    "options.py",
)
"""Modules that only the command line uses, and those that define the names."""
_OPTION = re.compile(r"(?<!\S)`?--[a-z]")
_COMMAND = re.compile(r"prefect-seedance |prefect |pip install ")


@pytest.mark.parametrize(
    ("door", "named", "switched", "valued"),
    [
        (Door.command, "--images-lifetime", "--retry-failed", "--max-seconds 90"),
        (Door.prefect, "images_lifetime_seconds", "retry_failed=true", "max_seconds=90"),
        (
            Door.python,
            "images_lifetime_seconds of Hosting",
            "retry=RetryPolicy(retry_failed=True)",
            "budget=Budget(max_seconds=90)",
        ),
    ],
)
def test_option_by_door(door: Door, named: str, switched: str, valued: str) -> None:
    """An option has the name that the reader can set it by."""
    with entered(door):
        names = (
            option("images_lifetime_seconds"),
            option("retry_failed", value=True),
            option("max_seconds", 90),
        )

    assert names == (named, switched, valued)


@pytest.mark.parametrize(
    ("door", "named", "valued"),
    [
        (Door.command, "--name", "--name 'Ep 2'"),
        (Door.prefect, "name", "name=Ep 2"),
        (Door.python, "name", "name='Ep 2'"),
    ],
)
def test_argument_by_door(door: Door, named: str, valued: str) -> None:
    """An argument of `produce` itself needs no class."""
    with entered(door):
        names = (option("name"), option("name", "Ep 2"))

    assert names == (named, valued)


@pytest.mark.parametrize(
    ("door", "key", "hosts", "archive"),
    [
        (
            Door.command,
            "SEEDANCE_API_KEY or api_key of the credentials block",
            "--allow-host or allow_hosts of the credentials block",
            "--archive or SEEDANCE_ARCHIVE",
        ),
        (
            Door.prefect,
            "api_key of the credentials block or SEEDANCE_API_KEY on the worker",
            "allow_hosts of the credentials block",
            "archive or SEEDANCE_ARCHIVE on the worker",
        ),
        (
            Door.python,
            "api_key of Credentials or SEEDANCE_API_KEY",
            "allow_hosts of Credentials",
            "archive or SEEDANCE_ARCHIVE",
        ),
    ],
)
def test_account_by_door(door: Door, key: str, hosts: str, archive: str) -> None:
    """Fields of the account and the archive are named where the reader can set them."""
    with entered(door):
        names = (doors.account("api_key"), doors.account("allow_hosts"), doors.archive())

    assert names == (key, hosts, archive)


def test_commands_are_flows() -> None:
    """In Prefect, a remedy is a flow where there is one, and a command elsewhere."""
    with entered(Door.prefect):
        flows = (doors.run("resolve", "films", "0a1b"), doors.decision("adopt", "TASKID"))
        film, report = doors.run("film", "films", "sea"), doors.run("report", "films", "sea")

    assert flows == ("run the flow resolve-submissions with archive=films", "adopt TASKID")
    assert film == "run the flow join-film with archive=films and name=sea"
    assert report == "run: prefect-seedance report films sea"
    assert doors.run("resolve", "my films", "0a1b") == "run: prefect-seedance resolve 'my films' 0a1b"
    assert doors.decision("lost") == "--lost"


async def test_door_ends_with_call() -> None:
    """A flow that runs inside a program leaves the program's names as they were, also beside it."""
    inside = through(Door.prefect)(lambda: asyncio.sleep(0, option("images_url")))

    found = await asyncio.gather(inside(), asyncio.to_thread(option, "images_url"))

    assert list(found) == ["images_url", "images_url of Hosting"]


def test_command_is_door(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command names its options, and later callers in the same process are not affected."""
    monkeypatch.delenv("SEEDANCE_API_KEY", raising=False)

    assert main(["balance"]) == 2

    assert "Set SEEDANCE_API_KEY or api_key of the credentials block" in capsys.readouterr().err
    assert option("name", "x") == "name='x'"


def _messages() -> Iterator[tuple[str, str]]:
    """Yield each text of the source that is not a docstring, with its module."""
    for file in sorted(_SOURCE.rglob("*.py")):
        module = file.relative_to(_SOURCE)
        if str(module).startswith(_WRITTEN_BY):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
                yield str(module), node.value


def test_messages_name_no_option() -> None:
    """No message below the command line writes an option or a variable itself, except in a whole command."""
    written = [
        (module, text)
        for module, text in _messages()
        if (_OPTION.search(text) or " SEEDANCE_" in text) and not _COMMAND.search(text)
        if not re.search(r"Default: SEEDANCE_[A-Z_]+\.", text)
    ]

    assert not written


def test_named_options_exist() -> None:
    """Each option that a message names is a parameter of a flow and, if it is no class's, of `produce`."""
    source = "".join(file.read_text(encoding="utf-8") for file in _SOURCE.rglob("*.py"))
    named = set(re.findall(r"\boption\(['\"](\w+)['\"]", source))
    flows = {*storyboard_to_transitions.parameters.properties, *generate_clips.parameters.properties}

    assert named >= {"images_url", "retry_failed", "max_seconds"}
    assert named <= flows
    with entered(Door.python):
        plain = {field for field in named if option(field) == field}
    assert plain <= set(inspect.signature(produce).parameters)


def test_block_has_flat_fields() -> None:
    """A Seedance Clip block names its fields like a flow its parameters."""
    assert {"images_url", "images_lifetime_seconds", "retry_failed", "retry_rejected"} <= set(
        SeedanceClip.model_fields
    )
