"""A plan uses the model, the limits and the prices of the account that would pay."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from prefect_seedance.cli import main
from tests.processes import Sandbox

FAST = "seedance-2-0-fast"


@pytest.fixture
def account(prefect_server: str, tmp_path: Path, sandbox: Sandbox) -> Iterator[str]:
    """Store an account whose clips are made by another model by default."""
    stored = SeedanceCredentials(
        api_key=SecretStr(sandbox.key),
        base_url=sandbox.url,
        model=FAST,
        max_seconds=4,
        price_per_second=Decimal("0.5"),
    )
    with temporary_settings({PREFECT_API_URL: prefect_server, PREFECT_HOME: tmp_path / "prefect"}):
        stored.save("fast", overwrite=True)
        yield "fast"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    file = tmp_path / "clips.json"
    defaults = {"resolution": "480p", "prompt": "waves"}
    file.write_text(
        json.dumps({"defaults": defaults, "clips": [{}, {"duration": 5, "model": "seedance-2-0"}]})
    )
    return file


def planned(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    main(["plan", *map(str, words), "--json"])
    return dict(json.loads(capsys.readouterr().out))


def test_stored_account_decides(
    account: str, clips: Path, sandbox: Sandbox, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Model, limit, price and balance are those of the stored account, as in a run with it."""
    found = planned(capsys, clips, "--credentials", account)

    assert [clip["model"] for clip in found["clips"]] == [FAST, "seedance-2-0"]
    assert (found["cost"], found["balance"]) == ("4.5", "1000.0")
    assert "more than its limit of 4 s" in found["refusals"][0]

    quick = ("--first-poll", "0.1", "--poll-every", "0.1", "--no-report", "--json", "--max-seconds", "9")
    main(["produce", str(clips), "--archive", str(archive), "--credentials", account, *quick])
    made = json.loads(capsys.readouterr().out)

    assert {clip["model"] for clip in sandbox.books()["generations"]} == {FAST, "seedance-2-0"}
    assert [clip["fingerprint"] for clip in made["clips"]] == [clip["fingerprint"] for clip in found["clips"]]


def test_model_replaces_that_of_the_account(
    account: str, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan with another model compares it with the account's own."""
    found = planned(capsys, clips, "--credentials", account, "--model", "seedance-2-0")

    assert {clip["model"] for clip in found["clips"]} == {"seedance-2-0"}
    assert found["instead_of"]["billed_seconds"] == 9


@pytest.mark.usefixtures("account")
def test_missing_account_is_named(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An account that is not stored is an error."""
    assert main(["plan", str(clips), "--credentials", "nobody"]) == 2
    assert "no Seedance Credentials block named 'nobody'" in capsys.readouterr().err
