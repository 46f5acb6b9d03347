import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prefect import flow
from prefect.blocks.core import Block
from prefect.filesystems import LocalFileSystem
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.testing.standard_test_suites import BlockStandardTestSuite  # type: ignore[attr-defined]  # Prefect does not list it in __all__
from pydantic import SecretStr, ValidationError

from prefect_seedance import (
    ClipArchive,
    ClipSettings,
    RunSettings,
    SeedanceClip,
    SeedanceCredentials,
)
from prefect_seedance.api.credentials import API_KEY_VARIABLE, BASE_URL_VARIABLE
from prefect_seedance.api.wire import DEFAULT_BASE_URL
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.blocks import (
    open_archive,
)
from prefect_seedance.production.session import ARCHIVE_VARIABLE
from tests.processes import BIN, environment

SECRET = "sd-secret-0123456789"


@pytest.fixture
def credentials() -> SeedanceCredentials:
    return SeedanceCredentials(api_key=SecretStr(SECRET))


class TestStandards(BlockStandardTestSuite):
    """Prefect's own standards for blocks."""

    @pytest.fixture(params=[SeedanceCredentials, ClipArchive, SeedanceClip])
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        return request.param  # type: ignore[no-any-return]

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """We host no logo, so the block names none, and Prefect shows its own."""
        assert block._logo_url is None


def test_environment_gives_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and host come from the environment."""
    monkeypatch.setenv(API_KEY_VARIABLE, SECRET)
    monkeypatch.setenv(BASE_URL_VARIABLE, "http://127.0.0.1:8765")

    credentials = SeedanceCredentials.from_env()

    assert credentials.api_key.get_secret_value() == SECRET
    assert credentials.base_url == "http://127.0.0.1:8765"


@pytest.mark.parametrize("base_url", [None, ""], ids=["unset", "empty"])
def test_host_has_default(monkeypatch: pytest.MonkeyPatch, base_url: str | None) -> None:
    """Without a host in the environment, it is the API's."""
    monkeypatch.setenv(API_KEY_VARIABLE, SECRET)
    monkeypatch.delenv(BASE_URL_VARIABLE, raising=False)
    if base_url is not None:
        monkeypatch.setenv(BASE_URL_VARIABLE, base_url)

    assert SeedanceCredentials.from_env().base_url == DEFAULT_BASE_URL


@pytest.mark.parametrize("key", [None, ""], ids=["unset", "empty"])
def test_missing_key_is_named(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """Without a key, the message names the variable and the other way."""
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    if key is not None:
        monkeypatch.setenv(API_KEY_VARIABLE, key)

    with pytest.raises(SetupError, match=f"{API_KEY_VARIABLE}.*credentials block"):
        SeedanceCredentials.from_env()


@pytest.mark.parametrize(
    ("field", "value"), [("provider", "cheapest"), ("requests_per_minute", 0), ("generations_in_flight", -1)]
)
def test_bad_field_is_refused(field: str, value: object) -> None:
    """A field outside its bounds is refused."""
    with pytest.raises(ValidationError, match=field):
        SeedanceCredentials.model_validate({"api_key": SECRET, field: value})


def test_secret_stays_hidden(credentials: SeedanceCredentials) -> None:
    """Neither block, nor what holds it, nor a flow's stored parameters show the key."""

    @flow
    def take(credentials: SeedanceCredentials) -> None:
        """Take a block, as a user's flow may."""

    shown = [
        repr(credentials),
        str(credentials),
        credentials.model_dump_json(),
        repr(credentials.get_client()),
        repr(RunSettings(credentials=credentials, archive="memory://")),
        str(take.serialize_parameters({"credentials": credentials})),
    ]

    assert [text for text in shown if SECRET in text] == []
    assert shown[0].count("*") >= len("**********")


async def test_account_shares_its_budget(credentials: SeedanceCredentials) -> None:
    """All clients of one account count against one limit, and those of another do not."""
    other = SeedanceCredentials(api_key=SecretStr("another"), requests_per_minute=60)

    assert credentials.get_client().limiter is credentials.get_client().limiter
    assert other.get_client().limiter is not credentials.get_client().limiter
    assert other.get_client().limiter.requests_per_minute == 60


@pytest.mark.parametrize(
    "fields",
    [{}, {"url": "s3://clips", "s3_bucket": "clips"}, {"s3_bucket": "clips", "local_file_system": "clips"}],
    ids=["none", "URL and bucket", "two blocks"],
)
def test_archive_is_one_place(fields: dict[str, str]) -> None:
    """An archive is in one place: at a URL, in a stored bucket, or in a stored folder."""
    with pytest.raises(ValidationError, match="give one of a URL, the name of an S3 Bucket block, and"):
        ClipArchive.model_validate(fields)


async def test_environment_gives_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no archive is named, the environment's is meant, by all who ask for one."""
    monkeypatch.setenv(ARCHIVE_VARIABLE, str(tmp_path))
    monkeypatch.setenv(API_KEY_VARIABLE, SECRET)
    clip = SeedanceClip.from_env(prompt="a bell rings", take=2)

    opened = [await open_archive(archive) for archive in ("", ClipArchive.from_env(), clip.archive)]

    assert {store.url for store in opened} == {str(tmp_path)}
    assert (clip.credentials.api_key.get_secret_value(), clip.take) == (SECRET, 2)


async def test_missing_archive_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an archive, the message names the variable; of a stored one it says how to load it."""
    monkeypatch.delenv(ARCHIVE_VARIABLE, raising=False)
    with pytest.raises(SetupError, match=f"no archive.*{ARCHIVE_VARIABLE}"):
        await open_archive("")

    monkeypatch.setenv(ARCHIVE_VARIABLE, "block:films")
    with pytest.raises(SetupError, match=r"ClipArchive\.load\('films'\)"):
        ClipArchive.from_env()


async def test_archive_opens(tmp_path: Path) -> None:
    """A path, a URL and a block all lead to their place."""
    opened = [await open_archive(archive) for archive in (str(tmp_path), ClipArchive(url=str(tmp_path)))]

    assert [(store.url, store.name) for store in opened] == [(str(tmp_path), str(tmp_path))] * 2


async def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prefect-aws, a stored bucket says what to install."""
    monkeypatch.setitem(sys.modules, "prefect_aws", None)

    with pytest.raises(SetupError, match=r"pip install 'prefect-seedance\[aws\]'"):
        await ClipArchive(s3_bucket="clips").open()


class TestServer:
    """Blocks on a real server."""

    @pytest.fixture(autouse=True)
    def _prefect(self, prefect_server: str, tmp_path: Path) -> Iterator[None]:
        with temporary_settings({PREFECT_API_URL: prefect_server, PREFECT_HOME: tmp_path}):
            yield

    def test_saved_block_loads(self, credentials: SeedanceCredentials) -> None:
        """A stored block loads with all fields, including the key."""
        saved = credentials.model_copy(update={"base_url": "https://studio.example", "provider": "value"})
        saved.save("round-trip", overwrite=True)

        loaded: SeedanceCredentials = asyncio.run(SeedanceCredentials.aload("round-trip"))

        assert loaded.api_key.get_secret_value() == SECRET
        assert (loaded.base_url, loaded.provider) == ("https://studio.example", "value")

    def test_saved_archive_is_found(self, tmp_path: Path) -> None:
        """An archive is found by its name after the prefix, and by nothing else."""
        ClipArchive(url=str(tmp_path / "clips")).save("found", overwrite=True)

        store = asyncio.run(open_archive("block:found"))

        assert store.url == str(tmp_path / "clips")
        with pytest.raises(SetupError, match="no stored archive named 'lost'"):
            asyncio.run(open_archive("block:lost"))

    def test_stored_folder_is_an_archive(self, tmp_path: Path) -> None:
        """A stored Local File System lends its base path."""
        LocalFileSystem(basepath=str(tmp_path / "clips")).save("shelf", overwrite=True)
        ClipArchive(local_file_system="shelf").save("shelf", overwrite=True)

        store = asyncio.run(open_archive("block:shelf"))

        assert store.url == str(tmp_path / "clips")

    @pytest.mark.parametrize(
        ("field", "kind"), [("s3_bucket", "S3 Bucket"), ("local_file_system", "Local File System")]
    )
    def test_missing_block_is_named(self, field: str, kind: str) -> None:
        """An archive whose bucket or folder was never stored says which."""
        with pytest.raises(SetupError, match=f"no stored {kind} block named 'nowhere'"):
            asyncio.run(ClipArchive.model_validate({field: "nowhere"}).open())

    def test_server_shows_no_key(self, credentials: SeedanceCredentials, prefect_server: str) -> None:
        """The stored block shows asterisks in the Prefect API."""
        credentials.save("shown", overwrite=True)

        path = "block_types/slug/seedance-credentials/block_documents/name/shown"
        stored = httpx.get(f"{prefect_server}/{path}").raise_for_status().text

        assert SECRET not in stored
        assert '"api_key":"********"' in stored

    @pytest.mark.parametrize("archive", ["s3://clips/films", ClipArchive(url="clips")], ids=["url", "block"])
    def test_saved_clip_loads(
        self, credentials: SeedanceCredentials, prefect_server: str, archive: ClipArchive | str
    ) -> None:
        """A stored clip loads with its nested blocks, and the Prefect API shows no key."""
        settings = ClipSettings(duration=8, sound=True)
        credentials.save("bell-account", overwrite=True)
        if isinstance(archive, ClipArchive):
            archive.save("bell-archive", overwrite=True)
        clip = SeedanceClip(
            prompt="a bell rings",
            settings=settings,
            credentials=credentials,
            archive=archive,
            first_poll_seconds=1.0,
        )
        clip.save("bell", overwrite=True)

        loaded: SeedanceClip = asyncio.run(SeedanceClip.aload("bell"))
        path = "block_types/slug/seedance-clip/block_documents/name/bell"
        stored = httpx.get(f"{prefect_server}/{path}").raise_for_status().text

        assert (loaded.prompt, loaded.settings, loaded.first_poll_seconds) == ("a bell rings", settings, 1.0)
        assert loaded.credentials.api_key.get_secret_value() == SECRET
        assert str(loaded.archive) == str(archive)
        assert SECRET not in stored

    def test_register_finds_block(self, prefect_server: str, tmp_path: Path) -> None:
        """`prefect block register -m prefect_seedance` registers the blocks for forms, and nothing else."""
        registered = subprocess.run(
            [BIN / "prefect", "block", "register", "-m", "prefect_seedance"],
            env=environment(tmp_path, PREFECT_API_URL=prefect_server, COLUMNS="200"),
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip

        assert "Successfully registered 3 blocks" in registered.stdout
        assert "Seedance Clip " in registered.stdout
        assert "Clip Archive" in registered.stdout
        assert "Seedance Credentials" in registered.stdout
