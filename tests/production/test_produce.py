"""A production in one call, without Prefect."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.doors import ARCHIVE_VARIABLE
from prefect_seedance.errors import SetupError
from prefect_seedance.options import Hosting, Output
from prefect_seedance.orchestration import produce as with_prefect
from prefect_seedance.production import produce as plain
from prefect_seedance.production.progress import Progress
from tests.processes import Sandbox
from tests.production.conftest import PLAIN, QUICK, SOUNDS


async def test_makes_storyboard(
    board: Path, credentials: Credentials, archive: Path, sandbox: Sandbox
) -> None:
    """One call makes a storyboard's clips, its film and its report."""
    seen: list[Progress] = []

    manifest = await plain.produce(
        board,
        archive=str(archive),
        credentials=credentials,
        name="evening",
        hosting=Hosting(images_url=sandbox.hosted),
        waiting=QUICK,
        on_progress=seen.append,
    )

    assert (manifest.production, manifest.is_complete) == ("evening", True)
    assert manifest.film
    assert manifest.report
    assert {progress.clip.name for progress in seen if progress.is_final} == {"dawn → noon", "noon → dusk"}


async def test_uses_environment(archive: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Account and archive come from the environment if they are left out."""
    for name, value in {**sandbox.env, ARCHIVE_VARIABLE: str(archive)}.items():
        monkeypatch.setenv(name, value)

    manifest = await plain.produce(SOUNDS, waiting=QUICK, output=PLAIN)

    assert manifest.archive == str(archive)
    assert manifest.is_complete


async def test_missing_account_is_named(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an account nothing is planned, and the error names the variable."""
    monkeypatch.delenv("SEEDANCE_API_KEY", raising=False)

    with pytest.raises(SetupError, match="SEEDANCE_API_KEY"):
        await plain.produce(SOUNDS, archive=str(archive), output=Output())


def test_signatures_agree() -> None:
    """The call with Prefect takes the same arguments, with the same defaults."""
    ours, theirs = (_defaults(module.produce) for module in (plain, with_prefect))

    assert list(ours) == list(theirs)
    assert {name: default for name, default in ours.items() if name != "credentials"} == {
        name: default for name, default in theirs.items() if name != "credentials"
    }


def _defaults(function: Any) -> Mapping[str, object]:  # noqa: ANN401  # any function
    return {name: each.default for name, each in inspect.signature(function).parameters.items()}
