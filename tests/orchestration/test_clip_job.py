"""The clip block's fields and runs; tests/flows shows it at work."""

import pickle
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from prefect_seedance import Hosting, RetryPolicy, SeedanceClip, SeedanceCredentials, Waiting
from prefect_seedance.errors import SetupError, StoryboardError

ACCOUNT = SeedanceCredentials(api_key=SecretStr("sd-key"))


def clip(**fields: object) -> SeedanceClip:
    return SeedanceClip.model_validate(
        {"prompt": "a bell rings", "credentials": ACCOUNT, "archive": "memory://films", **fields}
    )


def test_fields_become_settings() -> None:
    """The block's options reach the run."""
    block = clip(
        images_url="https://images.example",
        images_lifetime_seconds=60,
        retry_failed=True,
        deadline_seconds="2h",
        timeout_seconds=5,
        first_poll_seconds=1,
        poll_every_seconds=3,
    )

    settings = block.run_of("f" * 32).settings

    assert settings.credentials is block.credentials
    assert settings.archive == "memory://films"
    assert settings.hosting == Hosting(images_url="https://images.example", images_lifetime_seconds=60)
    assert settings.retry == RetryPolicy(retry_failed=True)
    assert settings.waiting == Waiting(
        deadline_seconds=7200, timeout_seconds=5, first_poll_seconds=1, poll_every_seconds=3
    )


@pytest.mark.parametrize(
    "fields",
    [{"deadline_seconds": 0}, {"images_lifetime_seconds": 1e9}, {"take": 0}, {"poll_every_seconds": "soon"}],
)
def test_bounds_are_enforced(fields: dict[str, object]) -> None:
    """A field out of bounds is an error when the block is created."""
    with pytest.raises(ValidationError):
        clip(**fields)


def test_environment_gives_account_and_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Account and archive come from the environment, all other fields from the call."""
    monkeypatch.setenv("SEEDANCE_API_KEY", "sd-environment")
    monkeypatch.setenv("SEEDANCE_ARCHIVE", str(tmp_path))

    block = SeedanceClip.from_env(prompt="a bell rings", take=2)

    assert block.credentials.api_key.get_secret_value() == "sd-environment"
    assert (block.archive, block.take) == (str(tmp_path), 2)


def test_run_is_not_stored() -> None:
    """A run holds the API key, so it cannot be pickled into a result; its fingerprint can."""
    run = clip().run_of("f" * 32)

    with pytest.raises(TypeError, match="fingerprint"):
        pickle.dumps(run)
    assert "sd-key" not in repr(run)


async def test_mistakes_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip with mistakes, or without an archive, raises before anything is sent."""
    monkeypatch.delenv("SEEDANCE_ARCHIVE", raising=False)

    with pytest.raises(StoryboardError):
        await clip(images=("/nowhere/dawn.png",), allow_outside=True).atrigger()
    with pytest.raises(SetupError, match="SEEDANCE_ARCHIVE"):
        await clip(archive="").atrigger()


async def test_unknown_fingerprint_is_an_error() -> None:
    """A fingerprint that the ledger does not have was never submitted."""
    with pytest.raises(SetupError, match="has no clip ffff"):
        await clip().run_of("f" * 32).await_for_completion()


async def test_sync_names_need_sync_code() -> None:
    """In async code the sync methods name the ones to await."""
    block = clip()

    with pytest.raises(RuntimeError, match=r"await atrigger\(\)"):
        block.trigger()
    with pytest.raises(RuntimeError, match=r"await afetch_result\(\)"):
        block.run_of("f" * 32).fetch_result()
