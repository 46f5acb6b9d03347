"""Archives and sessions without Prefect."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from prefect_seedance.api.account import Account
from prefect_seedance.doors import ARCHIVE_VARIABLE
from prefect_seedance.errors import ArchiveError, InsufficientFundsError, SetupError
from prefect_seedance.options import Hosting
from prefect_seedance.production.session import Session, archive_from_env, open_archive
from prefect_seedance.production.settings import RunSettings
from tests.processes import Sandbox


async def test_empty_name_means_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name, the environment's archive is opened."""
    monkeypatch.setenv(ARCHIVE_VARIABLE, str(tmp_path))

    assert (await open_archive("")).url == str(tmp_path)


def test_missing_archive_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name and without the variable, the error names the variable."""
    monkeypatch.delenv(ARCHIVE_VARIABLE, raising=False)

    with pytest.raises(SetupError, match=f"no archive.*{ARCHIVE_VARIABLE}"):
        archive_from_env()


async def test_block_needs_prefect() -> None:
    """A block's name is an error here, because only Prefect can load it."""
    with pytest.raises(SetupError, match="block:films is a Prefect block"):
        await open_archive("block:films")


async def test_session_reaches_api_and_archive(
    settings: RunSettings, sandbox: Sandbox, archive: Path
) -> None:
    """A session has a client of the account, with its limits, and the archive with its ledger."""
    credentials = settings.credentials.model_copy(update={"requests_per_minute": 7})

    async with Session.open(replace(settings, credentials=credentials)) as session:
        account, limit = session.client.account, session.client.requests_per_minute
        store, ledger = session.store.url, session.ledger.archive

    assert account is Account.of(sandbox.url, sandbox.key)
    assert limit == 7
    assert (store, ledger) == (str(archive), str(archive))
    assert sandbox.totals()["submits_received"] == 0


@pytest.mark.parametrize("is_in_order", [True, False], ids=["in order", "refused"])
async def test_new_session_asks_again(settings: RunSettings, sandbox: Sandbox, is_in_order: bool) -> None:  # noqa: FBT001  # a column
    """A session after a refusal reads the balance, so that a mended account need not wait for a minute."""
    key = sandbox.key if is_in_order else "wrong"
    credentials = settings.credentials.model_copy(update={"api_key": SecretStr(key)})
    account = Account.of(sandbox.url, key)
    account.refuse(InsufficientFundsError("no"))

    async with Session.open(replace(settings, credentials=credentials)):
        pass

    assert (account.refused_seconds == 0) is is_in_order


async def test_session_closes_its_client(settings: RunSettings) -> None:
    """After the block, the client sends nothing more."""
    async with Session.open(settings) as session:
        pass

    with pytest.raises(RuntimeError, match="closed"):
        await session.client.status("task_1")


async def test_image_host_uses_hosting(settings: RunSettings) -> None:
    """The image host serves a run's images under its public URL, and shares the turns of the session."""
    async with Session.open(settings) as session:
        hosting = Hosting(images_url="https://images.example", images_lifetime_seconds=60)
        host = session.image_host(hosting)

    assert (host.images_url, host.lifetime_seconds) == ("https://images.example", 60)
    assert host.turns is session.turns


async def test_unwritable_archive_is_no_session(settings: RunSettings, tmp_path: Path) -> None:
    """An archive that cannot be opened raises before anything else is opened."""
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises((SetupError, ArchiveError)):
        async with Session.open(replace(settings, archive=str(tmp_path / "file" / "films"))) as session:
            await session.store.probe()
