"""An archive in Azure, tested with Microsoft's emulator if it is installed (`npm install azurite`)."""

import base64
import hashlib
import hmac
import io
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from prefect_seedance.errors import SetupError
from prefect_seedance.storage.store import Store
from tests.processes import environment, free_port, running

_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's fixed key. Source: the README of azurite."""

pytestmark = pytest.mark.skipif(not shutil.which("azurite-blob"), reason="azurite is not installed")


@pytest.fixture(autouse=True)
def _azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the emulator with a container `clips`, and set its environment variables."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    options = ("--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry")
    command = ("azurite-blob", "--blobPort", port, *options)
    with running(*command, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.DEVNULL):
        latest = time.monotonic() + 60
        while not _made(f"{url}/{_ACCOUNT}/clips"):
            assert time.monotonic() < latest, "the emulator did not start"
            time.sleep(0.2)
        monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
        monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", url)
        monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
        yield


def _made(url: str) -> bool:
    """Create a container, which obstore cannot do; return whether that succeeded."""
    now, version = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"), "2021-08-06"
    lines = ["PUT", *[""] * 11, f"x-ms-date:{now}", f"x-ms-version:{version}"]
    resource = f"/{_ACCOUNT}{httpx.URL(url).path}\nrestype:container"
    signed = "\n".join([*lines, resource]).encode()
    signature = base64.b64encode(hmac.new(base64.b64decode(_KEY), signed, hashlib.sha256).digest()).decode()
    headers = {
        "x-ms-date": now,
        "x-ms-version": version,
        "Authorization": f"SharedKey {_ACCOUNT}:{signature}",
    }
    try:
        return httpx.put(url, params={"restype": "container"}, headers=headers).is_success
    except httpx.TransportError:
        return False


async def test_container_is_an_archive() -> None:
    """A container stores a ledger and videos, and signs public URLs."""
    store, video = Store.open("az://clips/films"), os.urandom(30_000_000)

    await store.probe()
    created = [await store.create("clips/a/intent.json", content) for content in (b"one", b"two")]
    await store.put("clips/a/clip.mp4", io.BytesIO(video), media_type="video/mp4")
    url = await store.sign("clips/a/intent.json", lifetime=timedelta(hours=1))

    assert created == [True, False]
    assert await store.read("clips/a/intent.json") == b"one"
    assert await store.fetch("clips/a/clip.mp4", io.BytesIO()) == hashlib.sha256(video).hexdigest()
    assert await store.keys("clips/") == ("clips/a/clip.mp4", "clips/a/intent.json")
    assert url is not None
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"one"


async def test_missing_container_costs_nothing() -> None:
    """A missing container is refused before anything is spent."""
    with pytest.raises(SetupError, match=r"container does not exist.*Nothing was spent"):
        await Store.open("az://nowhere/films").probe()
