"""Rendered videos, decoded and checked."""

import io
import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from prefect_seedance.sandbox.images import draw_cards, frame_size, load
from prefect_seedance.sandbox.video import RenderInterruptedError, VideoSpec, render
from tests.sandbox.conftest import Client

SIZE = frame_size("480p", "16:9")


def spec(*images: Path, **changes: object) -> VideoSpec:
    fields: dict[str, object] = {
        "prompt": "slow dolly in towards the lighthouse",
        "size": SIZE,
        "seconds": 4,
        "frame_rate": 4,
        "sound": False,
        "fixed_lens": False,
    }
    return VideoSpec(images=images, **(fields | changes))  # type: ignore[arg-type]  # the values have various types


def rendered(path: Path, *images: Path, **changes: object) -> Path:
    render(spec(*images, **changes), path / "video.mp4", interrupted=lambda: False)
    return path / "video.mp4"


def frames(source: Path | io.BytesIO) -> list[Image.Image]:
    with av.open(source, "r") as container:
        return [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]  # PyAV leaves it untyped


def difference(one: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def loudness(source: Path) -> float:
    """Return the peak amplitude, from 0 to 1."""
    with av.open(source, "r") as container:
        planes = [memoryview(frame.planes[0]).cast("f") for frame in container.decode(audio=0)]
        return max(max(plane) for plane in planes)


@pytest.mark.parametrize("resolution", ["480p", "720p"])
@pytest.mark.parametrize("ratio", ["1:1", "16:9", "9:16", "21:9", "3:4", "4:3"])
def test_size_fits_ratio(tmp_path: Path, resolution: str, ratio: str) -> None:
    """Every resolution and ratio gives an even size within about 2 percent of the ratio."""
    width, height = size = frame_size(resolution, ratio)

    with av.open(rendered(tmp_path, size=size, frame_rate=1)) as container:
        stream = container.streams.video[0]
        made = (stream.width, stream.height)

    assert made == size
    assert width % 2 == height % 2 == 0
    # The contract's example for 16:9, 864x496, deviates by 2.02 percent.
    assert float(Fraction(width, height) / Fraction(ratio.replace(":", "/"))) == pytest.approx(1, abs=0.021)


def test_sizes_match_contract() -> None:
    """The sizes given in the contract are used."""
    assert frame_size("480p", "16:9") == (864, 496)
    assert frame_size("720p", "16:9") == (1280, 720)


@pytest.mark.parametrize("seconds", [4, 8, 12])
@pytest.mark.parametrize("sound", [True, False])
def test_video_matches_spec(tmp_path: Path, seconds: int, *, sound: bool) -> None:
    """A video is H.264 in yuv420p of the requested length, with stereo AAC if sound is on."""
    with av.open(rendered(tmp_path, seconds=seconds, sound=sound, frame_rate=2)) as container:
        video = container.streams.video[0]
        audio = list(container.streams.audio)
        duration = Fraction(container.duration or 0, av.time_base)

        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert video.average_rate == 2
        assert video.frames == seconds * 2
        assert duration == seconds
        assert [(a.codec_context.name, a.rate, a.layout.name) for a in audio] == [
            ("aac", 48_000, "stereo")
        ] * sound


def test_sound_is_gentle(tmp_path: Path) -> None:
    """The sound is audible and does not clip."""
    assert 0.1 < loudness(rendered(tmp_path, sound=True, frame_rate=1)) < 0.5


def test_images_at_both_ends(tmp_path: Path, hosted: Path) -> None:
    """The first frame shows the start image and the last frame the end image, both cropped."""
    dawn, noon = hosted / "dawn.png", hosted / "noon.jpg"

    made = frames(rendered(tmp_path, dawn, noon))

    assert difference(made[0], load(dawn, SIZE)) < 3
    assert difference(made[-1], load(noon, SIZE)) < 3
    assert difference(made[0], made[-1]) > 30


def test_blend_is_smooth(tmp_path: Path, hosted: Path) -> None:
    """Frames change slowly at the ends and fastest in the middle, without jumps."""
    made = frames(rendered(tmp_path, hosted / "dawn.png", hosted / "noon.jpg"))

    steps = [difference(one, other) for one, other in itertools.pairwise(made)]

    assert max(steps) < difference(made[0], made[-1]) / 4
    assert steps[0] < steps[len(steps) // 2] > steps[-1]


def test_single_image_zooms(tmp_path: Path, hosted: Path) -> None:
    """A video of one image begins with it and zooms in, unless the lens is fixed."""
    moving = frames(rendered(tmp_path, hosted / "dawn.png"))
    still = frames(rendered(tmp_path, hosted / "dawn.png", fixed_lens=True))

    assert difference(moving[0], load(hosted / "dawn.png", SIZE)) < 3
    assert difference(moving[0], moving[-1]) > 2
    assert difference(still[0], still[-1]) < 1


def test_images_cover_frame(tmp_path: Path) -> None:
    """An image with another aspect ratio is cropped around its centre."""
    image = Image.new("RGB", (400, 1000), "red")
    image.paste("blue", (0, 400, 400, 600))
    image.save(tmp_path / "tall.png")

    frame = load(tmp_path / "tall.png", (800, 400))

    assert frame.size == (800, 400)
    assert set(frame.resize((1, 1), Image.Resampling.NEAREST).get_flattened_data()) == {(0, 0, 255)}
    assert difference(frame, Image.new("RGB", (800, 400), "blue")) < 1


def test_prompt_is_drawn(tmp_path: Path) -> None:
    """Without images, the frames depend on the prompt."""
    made = frames(rendered(tmp_path))

    assert difference(made[0], draw_cards(spec().prompt, SIZE)[0]) < 4
    assert difference(made[0], frames(rendered(tmp_path, prompt="another prompt"))[0]) > 4


def test_index_comes_first(tmp_path: Path) -> None:
    """The index precedes the data, so that playback can start during the download."""
    content = rendered(tmp_path, sound=True).read_bytes()

    assert content.index(b"moov") < content.index(b"mdat")


def test_equal_specs_equal_bytes(tmp_path: Path, hosted: Path) -> None:
    """Equal images and settings give equal bytes and equal digests."""
    first = rendered(tmp_path, hosted / "dawn.png", sound=True).read_bytes()
    second = rendered(tmp_path, hosted / "dawn.png", sound=True).read_bytes()

    assert first == second
    assert spec(hosted / "dawn.png").digest == spec(hosted / "dawn.png", prompt="another prompt").digest
    assert spec().digest != spec(prompt="another prompt").digest


def test_closing_interrupts(tmp_path: Path) -> None:
    """Rendering stops when it is interrupted."""
    with pytest.raises(RenderInterruptedError):
        render(spec(), tmp_path / "video.mp4", interrupted=lambda: True)


@pytest.mark.parametrize("names", [["dawn.png"], ["noon.jpg", "dusk.webp"]])
async def test_video_through_api(
    in_process: Callable[..., Client], hosted: Path, names: Sequence[str]
) -> None:
    """The API reads images by URL and returns a video by URL."""
    caller = in_process(frame_rate=6)
    urls = [f"http://sandbox.test/hosted/{name}?signature=1" for name in names]

    url = await caller.video_url(mode="image-to-video", image_urls=urls, sound=True, fixed_lens=True)
    made = frames(io.BytesIO((await caller.http.get(url)).content))

    assert len(made) == 24
    assert difference(made[0], load(hosted / names[0], SIZE)) < 3
    assert difference(made[-1], load(hosted / names[-1], SIZE)) < 3
