"""Blocks for accounts, archives and clips."""

import asyncio
import subprocess
import sys
import traceback
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
from prefect_seedance.doors import API_KEY_VARIABLE, ARCHIVE_VARIABLE, BASE_URL_VARIABLE
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.blocks import find_credentials, open_archive
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
        """The block has no logo of its own, so Prefect shows a default."""
        assert block._logo_url is None


def test_environment_gives_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and host of the environment make a block that can be saved."""
    monkeypatch.setenv(API_KEY_VARIABLE, SECRET)
    monkeypatch.setenv(BASE_URL_VARIABLE, "http://127.0.0.1:8765")

    credentials = SeedanceCredentials.from_env()

    assert type(credentials) is SeedanceCredentials
    assert credentials.api_key.get_secret_value() == SECRET
    assert credentials.base_url == "http://127.0.0.1:8765"


def test_secret_stays_hidden(credentials: SeedanceCredentials) -> None:
    """No text of the block, of its client, of settings or of a flow's stored parameters shows the key."""

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


async def test_finds_account(credentials: SeedanceCredentials, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials are used as they are; without any, the environment's are used."""
    monkeypatch.setenv(API_KEY_VARIABLE, "sd-environment")

    assert await find_credentials(credentials) is credentials
    for nothing in ("", None):
        found = await find_credentials(nothing)
        assert found.api_key.get_secret_value() == "sd-environment"


@pytest.mark.parametrize(
    "fields",
    [{}, {"url": "s3://clips", "s3_bucket": "clips"}, {"s3_bucket": "clips", "local_file_system": "clips"}],
    ids=["none", "URL and bucket", "two blocks"],
)
def test_archive_is_one_place(fields: dict[str, str]) -> None:
    """An archive has exactly one of a URL, a stored bucket and a stored folder."""
    with pytest.raises(ValidationError, match="give exactly one: a URL, an S3 Bucket block's name, or"):
        ClipArchive.model_validate(fields)


async def test_environment_gives_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name, every block and function uses the environment's archive."""
    monkeypatch.setenv(ARCHIVE_VARIABLE, str(tmp_path))
    monkeypatch.setenv(API_KEY_VARIABLE, SECRET)
    clip = SeedanceClip.from_env(prompt="a bell rings", take=2)

    opened = [await open_archive(archive) for archive in ("", ClipArchive.from_env(), clip.archive)]

    assert {store.url for store in opened} == {str(tmp_path)}
    assert (clip.credentials.api_key.get_secret_value(), clip.take) == (SECRET, 2)


async def test_missing_archive_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an archive, the error names the variable; a stored one has to be loaded."""
    monkeypatch.delenv(ARCHIVE_VARIABLE, raising=False)
    with pytest.raises(SetupError, match=f"no archive.*{ARCHIVE_VARIABLE}"):
        await open_archive("")

    monkeypatch.setenv(ARCHIVE_VARIABLE, "block:films")
    with pytest.raises(SetupError, match=r"ClipArchive\.load\('films'\)"):
        ClipArchive.from_env()


async def test_archive_opens(tmp_path: Path) -> None:
    """A path and a block open the same folder."""
    opened = [await open_archive(archive) for archive in (str(tmp_path), ClipArchive(url=str(tmp_path)))]

    assert [(store.url, store.name) for store in opened] == [(str(tmp_path), str(tmp_path))] * 2


async def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prefect-aws, the error says what to install."""
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

    def test_saved_account_is_found(self, credentials: SeedanceCredentials) -> None:
        """Stored credentials are found by name; an unknown name is an error."""
        credentials.save("studio", overwrite=True)

        found = asyncio.run(find_credentials("studio"))

        assert found.api_key.get_secret_value() == SECRET
        with pytest.raises(SetupError, match="no Seedance Credentials block named 'lost'"):
            asyncio.run(find_credentials("lost"))

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("base_url", "http://studio.example", "base_url: "),
            ("requests_per_minute", 0, "requests_per_minute: Input should be greater than 0"),
            (
                "models",
                "nowhere/models.yaml",
                "models: The file of models nowhere/models.yaml cannot",
            ),
        ],
    )
    def test_invalid_account_is_named(
        self, credentials: SeedanceCredentials, prefect_server: str, field: str, value: object, message: str
    ) -> None:
        """If a stored account has become invalid, the error names block and field, and not the key."""
        block = credentials.save("broken", overwrite=True)
        change = {"data": {field: value}, "merge_existing_data": True}
        httpx.patch(f"{prefect_server}/block_documents/{block}", json=change).raise_for_status()

        with pytest.raises(SetupError) as caught:
            asyncio.run(find_credentials("broken"))

        text = str(caught.value)
        assert text.startswith(f"The Seedance Credentials block 'broken' is invalid: {message}")
        assert text.endswith("; correct the block")
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_saved_archive_is_found(self, tmp_path: Path) -> None:
        """A stored archive is found by its name after the prefix."""
        ClipArchive(url=str(tmp_path / "clips")).save("found", overwrite=True)

        store = asyncio.run(open_archive("block:found"))

        assert store.url == str(tmp_path / "clips")
        with pytest.raises(SetupError, match="no Clip Archive block named 'lost'"):
            asyncio.run(open_archive("block:lost"))

    def test_stored_folder_is_an_archive(self, tmp_path: Path) -> None:
        """An archive uses the base path of a stored Local File System block."""
        LocalFileSystem(basepath=str(tmp_path / "clips")).save("shelf", overwrite=True)
        ClipArchive(local_file_system="shelf").save("shelf", overwrite=True)

        store = asyncio.run(open_archive("block:shelf"))

        assert store.url == str(tmp_path / "clips")

    @pytest.mark.parametrize(
        ("field", "kind"), [("s3_bucket", "S3 Bucket"), ("local_file_system", "Local File System")]
    )
    def test_missing_block_is_named(self, field: str, kind: str) -> None:
        """If the bucket's or folder's block does not exist, the error names it."""
        with pytest.raises(SetupError, match=f"no {kind} block named 'nowhere'"):
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
        """`prefect block register -m prefect_seedance` registers exactly the three blocks."""
        registered = subprocess.run(
            [BIN / "prefect", "block", "register", "-m", "prefect_seedance"],
            env=environment(tmp_path, PREFECT_API_URL=prefect_server, COLUMNS="200"),
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip

        assert "Successfully registered 3 blocks" in registered.stdout
        assert "Seedance Clip " in registered.stdout
        assert "Clip Archive" in registered.stdout
        assert "Seedance Credentials" in registered.stdout
