"""The settings of a run."""

import pickle
from dataclasses import replace

from prefect_seedance.options import RetryPolicy
from prefect_seedance.production.session import open_archive
from prefect_seedance.production.settings import RunSettings, StoredArchive
from prefect_seedance.storage.store import Store


def test_key_stays_hidden(settings: RunSettings) -> None:
    """The text of settings, which may reach a log, does not contain the API key."""
    key = settings.credentials.api_key.get_secret_value()

    assert key not in repr(settings)
    assert settings.credentials.base_url in repr(settings)


def test_settings_travel(settings: RunSettings) -> None:
    """Settings are equal after they were sent to another process, so that tasks share a session."""
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301  # our own bytes
    assert replace(settings, retry=RetryPolicy(retry_failed=True)) != settings


async def test_archive_may_open_itself() -> None:
    """An archive that can open its store, such as a block, is accepted."""

    class Shelf:
        async def open(self) -> Store:
            return Store.open("memory://shelf")

    shelf: StoredArchive = Shelf()

    assert (await open_archive(shelf)).url == "memory://shelf"
