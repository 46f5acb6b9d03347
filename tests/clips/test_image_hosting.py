import asyncio
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import S3Store
from PIL import Image

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.clips.image_hosting import ImageHost
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.storage.backends import Backend
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import Fit, SourceImage
from prefect_seedance.storyboard.image_inspection import inspect_file


async def _opened(place: str) -> Store:
    return Store.open(place)


OBJECTS = Objects(_opened)
REMOTE = SourceImage.from_url("https://example.com/dawn.png")


@pytest.fixture
def picture(tmp_path: Path) -> SourceImage:
    path = tmp_path / "dawn.png"
    Image.new("RGB", (64, 36), "orange").save(path)
    return inspect_file(path, model=DEFAULT_MODEL)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "archive"))


async def test_url_needs_no_host(store: Store) -> None:
    """An image that is on the internet already is left there."""
    host = ImageHost(store=store, objects=OBJECTS)

    await host.check([REMOTE])

    assert await host.host(REMOTE) == "https://example.com/dawn.png"
    assert await store.keys("") == ()


async def test_folder_has_no_address(store: Store, picture: SourceImage) -> None:
    """A local image in a folder's archive is refused before anything is spent, with all remedies."""
    with pytest.raises(SetupError, match=r"dawn\.png.*s3://.*--images-url.*https URLs"):
        await ImageHost(store=store, objects=OBJECTS).check([REMOTE, picture])


async def test_hosts_by_content(store: Store, picture: SourceImage) -> None:
    """An image is stored under its digest, where the given address finds it."""
    host = ImageHost(store=store, objects=OBJECTS, images_url="https://pictures.example.com/")
    content = Path(picture.source).read_bytes()  # noqa: ASYNC240 -- a small file

    await host.check([picture])
    url = await host.host(picture)

    assert url == f"https://pictures.example.com/{picture.sha256}.png"
    assert await store.read(f"images/{picture.sha256}.png") == content


async def test_changed_file_is_refused(store: Store, picture: SourceImage) -> None:
    """A file that is no longer what was planned with is not paid for."""
    Image.new("RGB", (64, 36), "blue").save(picture.source)

    with pytest.raises(StoryboardError, match="changed"):
        await ImageHost(store=store, objects=OBJECTS, images_url="https://pictures.example.com").host(picture)

    assert await store.keys("") == ()


@pytest.mark.parametrize("fit", ["crop", "pad"])
async def test_hosts_what_is_made(store: Store, tmp_path: Path, fit: Fit) -> None:
    """A picture that is fitted is made once, and stored beside the one that it is made from."""
    path = tmp_path / "square.jpg"
    Image.new("RGB", (64, 64), "orange").save(path)
    picture = inspect_file(path, model=DEFAULT_MODEL).fitted(fit, aspect_ratio="16:9")
    host, key = (
        ImageHost(store=store, objects=OBJECTS, images_url="https://pictures.example.com"),
        f"{fit}-1280x720.png",
    )

    url = await host.host(picture)
    path.unlink()
    again = await host.host(picture)

    assert url == again == f"https://pictures.example.com/{picture.sha256}-{key}"
    content = await store.read(f"images/{picture.sha256}-{key}")
    assert content is not None
    assert Image.open(io.BytesIO(content)).size == (1280, 720)


async def test_shared_image_is_made_once(picture: SourceImage, tmp_path: Path) -> None:
    """However many clips begin or end with an image at once, it is read, made and written by one of them."""
    reads = 0

    async def opened(_: str) -> Store:
        nonlocal reads
        reads += 1  # it is asked for again only by who reads again
        return Store.open("memory://shared")

    await Store.open("memory://shared").put("dawn.png", Path(picture.source).read_bytes())  # noqa: ASYNC240 -- a small file
    stored = picture.model_copy(update={"source": "memory://shared/dawn.png"})
    store, turns = Store.open(str(tmp_path / "archive")), dict[str, asyncio.Lock]()
    hosts = [
        ImageHost(store=store, objects=Objects(opened), turns=turns, images_url="https://example.com")
        for _ in range(8)
    ]

    urls = await asyncio.gather(*[host.host(stored) for host in hosts])

    assert len(set(urls)) == reads == 1


async def test_hosts_objects(store: Store, picture: SourceImage) -> None:
    """An image in another store is copied from there, if it still is what was planned with."""
    place, content = "memory://boards", Path(picture.source).read_bytes()  # noqa: ASYNC240 -- a small file
    stored = picture.model_copy(update={"source": f"{place}/here/dawn.png"})
    host = ImageHost(store=store, objects=OBJECTS, images_url="https://pictures.example.com")

    with pytest.raises(StoryboardError, match=f"there is no {place}/here/dawn.png"):
        await host.host(stored)
    await Store.open(place).put("here/dawn.png", content + b"!")
    with pytest.raises(StoryboardError, match="changed"):
        await host.host(stored)
    await Store.open(place).put("here/dawn.png", content)
    await host.host(stored)

    assert await store.read(f"images/{picture.sha256}.png") == content


async def test_vanished_file_is_told(store: Store, picture: SourceImage) -> None:
    """A file that was deleted meanwhile is an error of its clip, not of the program."""
    Path(picture.source).unlink()  # noqa: ASYNC240 -- a small file

    with pytest.raises(StoryboardError, match=r"dawn\.png cannot be read any more"):
        await ImageHost(store=store, objects=OBJECTS).host(picture)


@pytest.mark.parametrize(
    ("hours_left", "lifetime_seconds", "warns"),
    [
        pytest.param(None, 86_400, False, id="nobody knows"),
        pytest.param(12, 86_400, True, id="credentials end first"),
        pytest.param(12, 3_600, False, id="URLs end first"),
    ],
)
async def test_short_credentials_are_told(
    picture: SourceImage,
    hours_left: int | None,
    lifetime_seconds: float,
    warns: bool,  # noqa: FBT001 -- a table's column
) -> None:
    """Who signs for a day with what is good for half a day is told, unless that was meant."""
    until = hours_left and datetime.now(UTC) + timedelta(hours=hours_left)
    bucket = S3Store("clips", access_key_id="a", secret_access_key="b", region="us-east-1")
    backend = Backend(url="s3://clips", reader=bucket, writer=bucket, expires_at=until or None)
    host = ImageHost(store=Store(backend), objects=OBJECTS, lifetime_seconds=lifetime_seconds)

    assert await host.check([REMOTE]) == ""
    said = await host.check([REMOTE, picture])

    assert said.startswith("The credentials of s3://clips end at") is warns
    assert ("--images-lifetime" in said) is warns


@pytest.mark.parametrize("lifetime_seconds", [0, -1, 7 * 86_400 + 1])
async def test_impossible_lifetime_is_refused(store: Store, lifetime_seconds: float) -> None:
    """A time for which no bucket signs is refused before anything is spent."""
    with pytest.raises(SetupError, match="at most 7 days"):
        await ImageHost(store=store, objects=OBJECTS, lifetime_seconds=lifetime_seconds).check([])
