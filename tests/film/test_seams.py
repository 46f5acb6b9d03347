"""Looking at archived clips: done once, kept beside them, and no trouble for what is paid for."""

from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.image_hosting import hosted_key
from prefect_seedance.errors import IntegrityError
from prefect_seedance.film.seams import ClipInspection, Inspector, Similarity
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_inspection import inspect_file
from tests import films
from tests.films import Mark

_FRAMES = 24


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty archive."""
    return Store.open(str(tmp_path / "archive"))


@pytest.fixture
async def clip(store: Store) -> Clip:
    """Return an archived clip."""
    return await films.archived(store, films.clip(1, frames=_FRAMES))


async def _hosted(store: Store, folder: Path, image: Image.Image, *, name: str = "shot") -> SourceImage:
    """Host an image as `ImageHost` does."""
    image.save(folder / f"{name}.png")
    picture = inspect_file(folder / f"{name}.png", model="seedance-1-5-pro")
    await store.put(hosted_key(picture), (folder / f"{name}.png").read_bytes())
    return picture


async def test_likeness_to_images(store: Store, clip: Clip, tmp_path: Path) -> None:
    """Both ends are compared with the images that they were to show, and differences are seen."""
    start = await _hosted(store, tmp_path, films.picture(Mark(1, 0)), name="start")
    wrong = films.picture(Mark(1, _FRAMES - 1)).filter(ImageFilter.GaussianBlur(4))
    end = await _hosted(store, tmp_path, wrong, name="end")

    look = await Inspector(store=store).inspect(clip, (start, end))

    assert look.start is not None
    assert look.end is not None
    assert (look.start.ssim or 0) > 0.95
    assert (look.end.ssim or 0) < 0.9


async def test_larger_image_is_fitted(store: Store, clip: Clip, tmp_path: Path) -> None:
    """An image of another size and shape is compared as it is seen in the clip: cut to its shape."""
    tall = Image.new("RGB", (768, 768), "#777777")
    tall.paste(films.picture(Mark(1, 0), size=(768, 384)), (0, 192))

    look = await Inspector(store=store).inspect(clip, (await _hosted(store, tmp_path, tall),))

    assert look.start is not None
    assert (look.start.ssim or 0) > 0.9
    assert look.end is None


async def test_clip_is_looked_at_once(store: Store, clip: Clip) -> None:
    """What was seen is kept beside the clip, with its stills; the video is not read again."""
    look = await Inspector(store=store).inspect(clip)
    Path(store.url, clip.key).unlink()  # noqa: ASYNC240 -- a small one

    again = await Inspector(store=store).inspect(clip)

    seen = look.inspection
    assert again == look
    for key, frame in ((seen.start_still, 0), (seen.middle_still, 12), (seen.end_still, 23)):
        content = await store.read(key)
        assert content is not None
        assert content[:2] == b"\xff\xd8"
        assert key.startswith(f"clips/{clip.fingerprint}/")
        assert films.read(films.still(content)) == Mark(1, frame)


async def test_unknown_record_is_written_anew(store: Store, clip: Clip) -> None:
    """A record of another version is no obstacle."""
    inspector = Inspector(store=store)
    look = await inspector.inspect(clip)
    key = next(key for key in await store.keys(f"clips/{clip.fingerprint}/") if "look-" in key)
    await store.put(key, b'{"schema_version": 0}')

    again = await inspector.inspect(clip)

    assert again.inspection.start_still == look.inspection.start_still
    assert ClipInspection.model_validate_json(await store.read(key) or b"") == again


async def test_missing_image_is_said_and_tried_again(store: Store, clip: Clip, tmp_path: Path) -> None:
    """Without the image there is no comparison but a reason, until the image is there."""
    picture = await _hosted(store, tmp_path, films.picture(Mark(1, 0)))
    hosted = Path(store.url, hosted_key(picture))
    content = hosted.read_bytes()  # noqa: ASYNC240 -- a small one
    hosted.unlink()  # noqa: ASYNC240

    without = await Inspector(store=store).inspect(clip, (picture,))
    await store.put(hosted_key(picture), content)
    then = await Inspector(store=store).inspect(clip, (picture,))

    assert without.start == Similarity(reason="the image shot is not there any more, or cannot be decoded")
    assert then.start is not None
    assert (then.start.ssim or 0) > 0.95


async def test_unreachable_url_is_said(store: Store, clip: Clip) -> None:
    """An image that cannot be fetched is a reason, not an error."""
    look = await Inspector(store=store).inspect(clip, (SourceImage.from_url("http://127.0.0.1:9/shot.png"),))

    assert look.start is not None
    assert look.start.ssim is None
    assert str(look.start.reason).startswith("GET http://127.0.0.1:9/shot.png: ConnectError")


async def test_damaged_clip_is_refused(store: Store, clip: Clip) -> None:
    """Nothing is said of bytes that are not those archived."""
    await store.put(clip.key, b"something else")

    with pytest.raises(IntegrityError, match="has changed since it was archived"):
        await Inspector(store=store).inspect(clip)


@pytest.mark.parametrize(
    ("first", "alike"),
    [
        pytest.param(films.picture(Mark(1, _FRAMES - 1)), True, id="same"),
        pytest.param(films.picture(Mark(9, 170)), False, id="another"),
    ],
)
async def test_next_clip_meets(store: Store, clip: Clip, first: Image.Image, *, alike: bool) -> None:
    """A cut holds if the next clip begins with what this one ends with."""
    inspector = Inspector(store=store)
    following = await films.archived(store, films.clip(2, first=first))

    seam = await inspector.compare_next(await inspector.inspect(clip), await inspector.inspect(following))

    assert seam.ssim is not None
    assert (seam.ssim > 0.95) is alike
    assert alike or seam.ssim < 0.7


async def test_lost_still_is_said(store: Store, clip: Clip) -> None:
    """Without a still a cut cannot be judged, and that is said."""
    inspector = Inspector(store=store)
    look = await inspector.inspect(clip)
    await store.put(look.inspection.end_still, b"no picture")

    assert await inspector.compare_next(look, look) == Similarity(reason="a still is missing in the archive")
