import io
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.images import ImageHost
from prefect_seedance.models import DEFAULT_MODEL
from prefect_seedance.objects import Objects
from prefect_seedance.picture import Fit, Picture
from prefect_seedance.store import Store


async def _opened(place: str) -> Store:
    return Store.open(place)


OBJECTS = Objects(_opened)
REMOTE = Picture.at("https://example.com/dawn.png")


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    path = tmp_path / "dawn.png"
    Image.new("RGB", (64, 36), "orange").save(path)
    return Picture.read(path, model=DEFAULT_MODEL)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "archive"))


async def test_url_needs_no_host(store: Store) -> None:
    """An image that is on the internet already is left there."""
    host = ImageHost(store=store, objects=OBJECTS)

    await host.check([REMOTE])

    assert await host.host(REMOTE) == "https://example.com/dawn.png"
    assert await store.keys("") == ()


async def test_folder_has_no_address(store: Store, picture: Picture) -> None:
    """A local image in a folder's archive is refused before anything is spent, with all remedies."""
    with pytest.raises(SetupError, match=r"dawn\.png.*s3://.*--images-url.*https URLs"):
        await ImageHost(store=store, objects=OBJECTS).check([REMOTE, picture])


async def test_hosts_by_content(store: Store, picture: Picture) -> None:
    """An image is stored under its digest, where the given address finds it."""
    host = ImageHost(store=store, objects=OBJECTS, images_url="https://pictures.example.com/")
    content = Path(picture.source).read_bytes()  # noqa: ASYNC240 -- a small file

    await host.check([picture])
    url = await host.host(picture)

    assert url == f"https://pictures.example.com/{picture.sha256}.png"
    assert await store.read(f"images/{picture.sha256}.png") == content


async def test_changed_file_is_refused(store: Store, picture: Picture) -> None:
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
    picture = Picture.read(path, model=DEFAULT_MODEL).fitted(fit, aspect_ratio="16:9")
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
