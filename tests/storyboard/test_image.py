import pytest

from prefect_seedance.api.models import CAPABILITIES
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.image import _CONVERTED_PIXELS, Fitting, SourceImage


def test_converted_images_fit_the_limit() -> None:
    """A converted image is a PNG of at most three bytes a pixel, below every model's limit."""
    assert min(limits.max_image_bytes for limits in CAPABILITIES.values()) > 3 * _CONVERTED_PIXELS * 1.01


@pytest.mark.parametrize("model", CAPABILITIES)
def test_fitted_sizes_are_exact(model: str) -> None:
    """A fitted image has exactly the ratio, even sides, and about as many pixels as 720p."""
    for ratio in set(CAPABILITIES[model].aspect_ratios) - {"auto"}:
        width, height = Fitting(fit="crop", aspect_ratio=ratio).size
        horizontal, vertical = map(int, ratio.split(":"))

        assert width * vertical == height * horizontal
        assert width % 2 == height % 2 == 0
        assert 1280 * 720 <= width * height <= 1280 * 720 * 1.01


def image_of(width: int, height: int) -> SourceImage:
    return SourceImage(
        source="/boards/dawn.jpg", sha256="ab" * 32, format="JPEG", width=width, height=height, size_bytes=99
    )


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        pytest.param((1920, 1080), "16:9", id="exact"),
        pytest.param((1366, 768), "16:9", id="half a pixel too wide"),
        pytest.param((853, 480), "16:9", id="a third of a pixel too high"),
        pytest.param((70, 30), "21:9", id="ratio not in lowest terms"),
        pytest.param((500, 500), "1:1", id="square"),
    ],
)
def test_fitting_image_is_unchanged(size: tuple[int, int], ratio: str) -> None:
    """An image that has the clip's ratio is hosted byte for byte."""
    image = image_of(*size)

    fitted = image.fitted("crop", aspect_ratio=ratio)

    assert fitted == image
    assert (fitted.converted_size, fitted.hosted_name) == (None, f"{'ab' * 32}.jpeg")


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        pytest.param((1921, 1080), "16:9", id="a pixel too wide"),
        pytest.param((1920, 1081), "16:9", id="a pixel too high"),
        pytest.param((864, 496), "16:9", id="size of clips"),
        pytest.param((501, 500), "1:1", id="almost square"),
    ],
)
def test_fit_changes_the_identity(size: tuple[int, int], ratio: str) -> None:
    """The identity of a fitted image names its content and the fit, not the converted bytes."""
    image = image_of(*size)

    crop, pad = (image.fitted(fit, aspect_ratio=ratio) for fit in ("crop", "pad"))

    assert crop.identity == f"sha256:{'ab' * 32}#crop-{ratio}"
    assert pad.identity == f"sha256:{'ab' * 32}#pad-{ratio}"
    assert len({each.hosted_name for each in (image, crop, pad)}) == 3
    assert image.fitted("none", aspect_ratio=ratio) == image


def test_rotation_keeps_the_identity() -> None:
    """A rotated or reduced image keeps its identity, and its copy is hosted under another name."""
    image = image_of(4000, 3000)
    rotated, oversized = (image.model_copy(update={field: True}) for field in ("is_rotated", "is_oversized"))

    assert {image.identity, rotated.identity, oversized.identity} == {f"sha256:{'ab' * 32}"}
    assert rotated.converted_size == oversized.converted_size == (2000, 1500)
    assert rotated.hosted_name == f"{'ab' * 32}-2000x1500.png"


@pytest.mark.parametrize(
    ("url", "stem"),
    [
        pytest.param("https://example.com/images/dawn%201.png?v=2", "dawn 1", id="https"),
        pytest.param("https://example.com", "example.com", id="no path"),
        pytest.param("http://127.0.0.1:8000/dawn.png", "dawn", id="loopback address"),
        pytest.param("http://[::1]:8000/dawn.png", "dawn", id="loopback address, version 6"),
        pytest.param("http://localhost:8000/dawn.png", "dawn", id="localhost"),
    ],
)
def test_url_is_its_own_identity(url: str, stem: str) -> None:
    """Only the API fetches an image at a URL, so the URL is its identity."""
    image = SourceImage.from_url(url)

    assert image == SourceImage(source=url)
    assert (image.is_local, image.identity, image.stem) == (False, url, stem)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("http://example.com/dawn.png", "is not an https URL", id="http"),
        pytest.param("http://10.0.0.1/dawn.png", "is not an https URL", id="private address"),
        pytest.param("http://localhost.example.com/x.png", "is not an https URL", id="almost localhost"),
        pytest.param("s3://bucket/dawn.png", "is not an https URL", id="bucket"),
        pytest.param("file:///etc/passwd", "is not an https URL", id="file"),
        pytest.param("data:image/png;base64,AAAA", "is not an https URL", id="data"),
        pytest.param("https:///dawn.png", "is not an https URL", id="no host"),
        pytest.param("https://[::1/dawn.png", "is not a URL", id="broken host"),
        pytest.param("https://example.com/a b.png", "space", id="space"),
        pytest.param("https://example.com/a\nb.png", "unprintable", id="line break"),
        pytest.param("https://me:secret@example.com/x.png", "user name or password", id="password"),
        pytest.param("https://secret@example.com/x.png", "user name or password", id="user"),
    ],
)
def test_url_must_be_fetchable(url: str, message: str) -> None:
    """A URL that the API cannot fetch from is refused; the message repeats no password."""
    with pytest.raises(StoryboardError, match=message) as raised:
        SourceImage.from_url(url)

    assert "secret" not in str(raised.value)
