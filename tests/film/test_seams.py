"""Inspecting archived clips: findings, stills and comparisons."""

from pathlib import Path

import pytest
from PIL import Image, ImageFilter, ImageOps

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.image_hosting import hosted_key
from prefect_seedance.errors import IntegrityError
from prefect_seedance.film.inspections import ClipInspection, Similarity
from prefect_seedance.film.seams import Inspector
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_inspection import inspect_file
from prefect_seedance.video.similarity import similarity
from tests import films
from tests.films import Mark

_FRAMES = 24
IMAGE = Path(__file__).parents[2] / "examples/lighthouse/images/noon.jpg"


@pytest.fixture
async def clip(store: Store) -> Clip:
    """Return an archived clip."""
    return await films.archived(store, films.clip(1, frames=_FRAMES))


async def _hosted(store: Store, folder: Path, image: Image.Image, *, name: str = "shot") -> SourceImage:
    """Host an image as `ImageHost` does."""
    image.save(folder / f"{name}.png")
    source = inspect_file(folder / f"{name}.png", model="seedance-1-5-pro")
    await store.put(hosted_key(source), (folder / f"{name}.png").read_bytes())
    return source


async def test_ends_are_compared(store: Store, clip: Clip, tmp_path: Path) -> None:
    """Both ends are compared with their images, and a blurred image lowers the similarity."""
    start = await _hosted(store, tmp_path, films.picture(Mark(1, 0)), name="start")
    blurred = films.picture(Mark(1, _FRAMES - 1)).filter(ImageFilter.GaussianBlur(4))
    end = await _hosted(store, tmp_path, blurred, name="end")

    inspection = await Inspector(store=store).inspect(clip, (start, end))

    assert inspection.start is not None
    assert inspection.end is not None
    assert (inspection.start.ssim or 0) > 0.95
    assert (inspection.end.ssim or 0) < 0.9


async def test_larger_image_is_fitted(store: Store, clip: Clip, tmp_path: Path) -> None:
    """An image of another size and aspect ratio is cropped to the clip before it is compared."""
    tall = Image.new("RGB", (768, 768), "#777777")
    tall.paste(films.picture(Mark(1, 0), size=(768, 384)), (0, 192))

    inspection = await Inspector(store=store).inspect(clip, (await _hosted(store, tmp_path, tall),))

    assert inspection.start is not None
    assert (inspection.start.ssim or 0) > 0.9
    assert inspection.end is None


async def test_clip_is_inspected_once(store: Store, clip: Clip) -> None:
    """The inspection and its stills are stored beside the clip, and the video is not read second."""
    inspection = await Inspector(store=store).inspect(clip)
    Path(store.url, clip.key).unlink()  # noqa: ASYNC240 -- a small one

    second = await Inspector(store=store).inspect(clip)

    found = inspection.inspection
    assert second == inspection
    for key, frame in ((found.start_still, 0), (found.middle_still, 12), (found.end_still, 23)):
        content = await store.read(key)
        assert content is not None
        assert content[:2] == b"\xff\xd8"
        assert key.startswith(f"clips/{clip.fingerprint}/")
        assert films.read(films.still(content)) == Mark(1, frame)


async def test_stills_are_sharp_and_small(store: Store) -> None:
    """A still of a detailed frame is almost as sharp as the frame, in less than 45 kB."""
    with Image.open(IMAGE) as image:
        detailed = ImageOps.fit(image.convert("RGB"), (640, 360))
    video = films.clip(1, frames=2, first=detailed, size=(640, 360))

    inspection = await Inspector(store=store).inspect(await films.archived(store, video))

    content = await store.read(inspection.inspection.start_still) or b""
    assert similarity(films.frames(video)[0], films.still(content)) > 0.99
    assert len(content) < 45_000


async def test_unknown_record_is_replaced(store: Store, clip: Clip) -> None:
    """A record of another version is replaced."""
    inspector = Inspector(store=store)
    inspection = await inspector.inspect(clip)
    key = next(key for key in await store.keys(f"clips/{clip.fingerprint}/") if "look-" in key)
    await store.put(key, b'{"schema_version": 0}')

    second = await inspector.inspect(clip)

    assert second.inspection.start_still == inspection.inspection.start_still
    assert ClipInspection.model_validate_json(await store.read(key) or b"") == second


async def test_missing_image_is_retried(store: Store, clip: Clip, tmp_path: Path) -> None:
    """Without the image there is a reason instead of a similarity, until the image is available."""
    source = await _hosted(store, tmp_path, films.picture(Mark(1, 0)))
    hosted = Path(store.url, hosted_key(source))
    content = hosted.read_bytes()  # noqa: ASYNC240 -- a small one
    hosted.unlink()  # noqa: ASYNC240

    without = await Inspector(store=store).inspect(clip, (source,))
    await store.put(hosted_key(source), content)
    retried = await Inspector(store=store).inspect(clip, (source,))

    assert without.start == Similarity(reason="the image shot is missing, too large, or cannot be decoded")
    assert retried.start is not None
    assert (retried.start.ssim or 0) > 0.95


async def test_unreachable_url_has_reason(store: Store, clip: Clip) -> None:
    """An image that cannot be fetched gives a reason instead of an error."""
    inspector = Inspector(store=store, policy=HostPolicy(allow_loopback=True))

    inspection = await inspector.inspect(clip, (SourceImage.from_url("http://127.0.0.1:9/shot.png"),))

    assert inspection.start is not None
    assert inspection.start.ssim is None
    assert str(inspection.start.reason).startswith("GET http://127.0.0.1:9/shot.png: ConnectError")


async def test_damaged_clip_is_refused(store: Store, clip: Clip) -> None:
    """A video that differs from its record is not inspected."""
    await store.put(clip.key, b"something else")

    with pytest.raises(IntegrityError, match="has changed since it was archived"):
        await Inspector(store=store).inspect(clip)


@pytest.mark.parametrize(
    ("first", "is_same"),
    [
        pytest.param(films.picture(Mark(1, _FRAMES - 1)), True, id="same"),
        pytest.param(films.picture(Mark(9, 170)), False, id="another"),
    ],
)
async def test_next_clip_is_compared(store: Store, clip: Clip, first: Image.Image, *, is_same: bool) -> None:
    """A cut is compared by the last frame of a clip and the first of the next."""
    inspector = Inspector(store=store)
    following = await films.archived(store, films.clip(2, first=first))

    seam = await inspector.compare_next(await inspector.inspect(clip), await inspector.inspect(following))

    assert seam.ssim is not None
    assert (seam.ssim > 0.95) is is_same
    assert is_same or seam.ssim < 0.7


async def test_damaged_still_has_reason(store: Store, clip: Clip) -> None:
    """Without a still there is a reason instead of a similarity of the cut."""
    inspector = Inspector(store=store)
    inspection = await inspector.inspect(clip)
    await store.put(inspection.inspection.end_still, b"no image")

    assert await inspector.compare_next(inspection, inspection) == Similarity(
        reason="a still is missing in the archive"
    )
