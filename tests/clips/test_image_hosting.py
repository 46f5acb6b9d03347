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


async def _opened(url: str) -> Store:
    return Store.open(url)


OBJECTS = Objects(_opened)
REMOTE = SourceImage.from_url("https://example.com/dawn.png")


@pytest.fixture
def image(tmp_path: Path) -> SourceImage:
    path = tmp_path / "dawn.png"
    Image.new("RGB", (64, 36), "orange").save(path)
    return inspect_file(path, model=DEFAULT_MODEL)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "archive"))


async def test_url_needs_no_host(store: Store) -> None:
    """An image with a URL is used from there."""
    host = ImageHost(store=store, objects=OBJECTS)

    await host.check([REMOTE])

    assert await host.host(REMOTE) == "https://example.com/dawn.png"
    assert await store.keys("") == ()


async def test_folder_has_no_url(store: Store, image: SourceImage) -> None:
    """A local image cannot be hosted in a folder; the error lists all remedies."""
    with pytest.raises(SetupError, match=r"dawn\.png.*serve-images.*images_url.*s3://.*https URLs"):
        await ImageHost(store=store, objects=OBJECTS).check([REMOTE, image])


async def test_hosts_by_content(store: Store, image: SourceImage) -> None:
    """An image is stored under its digest, which its URL contains."""
    host = ImageHost(store=store, objects=OBJECTS, images_url="https://images.example.com/")
    content = Path(image.source).read_bytes()  # noqa: ASYNC240 -- a small file

    await host.check([image])
    url = await host.host(image)

    assert url == f"https://images.example.com/{image.sha256}.png"
    assert await store.read(f"images/{image.sha256}.png") == content


async def test_refuses_changed_file(store: Store, image: SourceImage) -> None:
    """A file that changed after it was planned is not hosted."""
    Image.new("RGB", (64, 36), "blue").save(image.source)

    with pytest.raises(StoryboardError, match="changed"):
        await ImageHost(store=store, objects=OBJECTS, images_url="https://images.example.com").host(image)

    assert await store.keys("") == ()


@pytest.mark.parametrize("fit", ["crop", "pad"])
async def test_converts_once(store: Store, tmp_path: Path, fit: Fit) -> None:
    """A fitted image is converted once, and stored with its source's digest in its name."""
    path = tmp_path / "square.jpg"
    Image.new("RGB", (64, 64), "orange").save(path)
    image = inspect_file(path, model=DEFAULT_MODEL).fitted(fit, aspect_ratio="16:9")
    host, key = (
        ImageHost(store=store, objects=OBJECTS, images_url="https://images.example.com"),
        f"{fit}-1280x720.png",
    )

    url = await host.host(image)
    path.unlink()
    again = await host.host(image)

    assert url == again == f"https://images.example.com/{image.sha256}-{key}"
    content = await store.read(f"images/{image.sha256}-{key}")
    assert content is not None
    assert Image.open(io.BytesIO(content)).size == (1280, 720)


async def test_shared_image_is_uploaded_once(image: SourceImage, tmp_path: Path) -> None:
    """However many clips share an image at once, one of them reads, converts and uploads it."""
    reads = 0

    async def opened(_: str) -> Store:
        nonlocal reads
        reads += 1  # each read opens the store once
        return Store.open("memory://shared")

    await Store.open("memory://shared").put("dawn.png", Path(image.source).read_bytes())  # noqa: ASYNC240 -- a small file
    stored = image.model_copy(update={"source": "memory://shared/dawn.png"})
    store, turns = Store.open(str(tmp_path / "archive")), dict[str, asyncio.Lock]()
    hosts = [
        ImageHost(store=store, objects=Objects(opened), turns=turns, images_url="https://example.com")
        for _ in range(8)
    ]

    urls = await asyncio.gather(*[host.host(stored) for host in hosts])

    assert len(set(urls)) == reads == 1


async def test_hosts_objects(store: Store, image: SourceImage) -> None:
    """An image in another store is copied, unless it changed after it was planned."""
    url, content = "memory://boards", Path(image.source).read_bytes()  # noqa: ASYNC240 -- a small file
    stored = image.model_copy(update={"source": f"{url}/here/dawn.png"})
    host = ImageHost(store=store, objects=OBJECTS, images_url="https://images.example.com")

    with pytest.raises(StoryboardError, match=f"there is no {url}/here/dawn.png"):
        await host.host(stored)
    await Store.open(url).put("here/dawn.png", content + b"!")
    with pytest.raises(StoryboardError, match="changed"):
        await host.host(stored)
    await Store.open(url).put("here/dawn.png", content)
    await host.host(stored)

    assert await store.read(f"images/{image.sha256}.png") == content


async def test_reports_deleted_file(store: Store, image: SourceImage) -> None:
    """A file that was deleted after it was planned is a storyboard error."""
    Path(image.source).unlink()  # noqa: ASYNC240 -- a small file

    with pytest.raises(StoryboardError, match=r"there is no image .*dawn\.png"):
        await ImageHost(store=store, objects=OBJECTS).host(image)


@pytest.mark.parametrize(
    ("hours_left", "lifetime_seconds", "warns"),
    [
        pytest.param(None, 86_400, False, id="unknown"),
        pytest.param(12, 86_400, True, id="credentials expire first"),
        pytest.param(12, 3_600, False, id="URLs expire first"),
    ],
)
async def test_warns_of_short_credentials(
    image: SourceImage,
    hours_left: int | None,
    lifetime_seconds: float,
    warns: bool,  # noqa: FBT001 -- a table's column
) -> None:
    """A warning says if the credentials expire before the URLs that they sign."""
    until = hours_left and datetime.now(UTC) + timedelta(hours=hours_left)
    bucket = S3Store("clips", access_key_id="a", secret_access_key="b", region="us-east-1")
    backend = Backend(url="s3://clips", reader=bucket, writer=bucket, expires_at=until or None)
    host = ImageHost(store=Store(backend), objects=OBJECTS, lifetime_seconds=lifetime_seconds)

    assert await host.check([REMOTE]) == ""
    warning = await host.check([REMOTE, image])

    assert warning.startswith("The credentials of s3://clips expire at") is warns
    assert ("images_lifetime_seconds of Hosting" in warning) is warns


@pytest.mark.parametrize("lifetime_seconds", [0, -1, 7 * 86_400 + 1])
async def test_refuses_impossible_lifetime(store: Store, lifetime_seconds: float) -> None:
    """A lifetime longer than any bucket permits is refused before anything is spent."""
    with pytest.raises(SetupError, match="at most 7 days"):
        await ImageHost(store=store, objects=OBJECTS, lifetime_seconds=lifetime_seconds).check([])
