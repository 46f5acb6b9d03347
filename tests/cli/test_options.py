"""The option classes as parameters of commands."""

from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.cli.options import Account
from prefect_seedance.doors import API_KEY_VARIABLE, BASE_URL_VARIABLE
from prefect_seedance.errors import SetupError
from tests.processes import read_help


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "sd-key")
    monkeypatch.setenv(BASE_URL_VARIABLE, "https://api.example")


async def test_account_from_environment() -> None:
    """Without options, key and host come from the environment."""
    credentials = await Account().find()

    assert credentials.api_key.get_secret_value() == "sd-key"
    assert credentials.base_url == "https://api.example"


async def test_option_overrules_host() -> None:
    """--base-url replaces the environment's host, for the client too."""
    account = Account(base_url="http://127.0.0.1:8765")

    assert (await account.find()).base_url == "http://127.0.0.1:8765"
    assert (await account.client()).base_url == "http://127.0.0.1:8765"


async def test_block_has_own_host() -> None:
    """A credentials block and a host contradict each other."""
    with pytest.raises(SetupError, match="leave out --base-url"):
        await Account(credentials="studio", base_url="http://127.0.0.1:8765").find()


def test_defaults_are_readable() -> None:
    """The help page shows durations with their units, and no empty defaults."""
    text = " ".join(read_help("produce", columns=200).split())

    for default in (
        "[default: 1h]",
        "[default: 24h]",
        "[default: 1.5s]",
        "[default: report]",
        "[default: yes]",
    ):
        assert default in text
    assert "[default: ]" not in text
    assert "[default: 0.0]" not in text
    assert "[default: None]" not in text


@pytest.mark.parametrize(
    "words",
    [["--no-wait"], ["--no-film", "--no-report"], ["--film"], ["--deadline", "90m", "--timeout", "5"]],
)
def test_accepts_flags_and_durations(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Flags whose default may be true have a negative form, and durations may have a unit."""
    assert main(["produce", str(tmp_path / "none.yaml"), "--archive", str(tmp_path), *words]) == 2
    assert "none.yaml" in capsys.readouterr().err
