import random
import tempfile
from array import array
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import av
import pytest
from PIL import Image, ImageFilter, ImageOps

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.probe import VideoFacts, probe
from prefect_seedance.video.scan import scan
from prefect_seedance.video.similarity import similarity

_SIZE = (160, 96)
_FRAMES = 48
_RATE = 24
_KEYFRAME_EVERY = 15
_INDEX_IN_FRONT = {"movflags": "+faststart"}
_INDEX_AT_END: dict[str, str] = {}


def _picture(number: int, *, size: tuple[int, int] = _SIZE) -> Image.Image:
    """Paint soft grey noise, different in each frame, so that every frame has something to decode."""
    speckles = random.Random(number).randbytes(40 * 24)  # noqa: S311 -- no secret
    return Image.frombytes("L", (40, 24), speckles).resize(size, Image.Resampling.BICUBIC).convert("RGB")


def _noise(number: int) -> av.AudioFrame:
    source = random.Random(number)  # noqa: S311 -- no secret
    frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
    frame.sample_rate, frame.pts = 48000, number * 1024
    frame.planes[0].update(array("f", (source.uniform(-0.3, 0.3) for _ in range(1024))).tobytes())
    return frame


def _encode(
    *,
    container: str = "mp4",
    codec: str = "libx264",
    options: dict[str, str] = _INDEX_IN_FRONT,
    sound: bool = True,
    frames: int = _FRAMES,
    size: tuple[int, int] = _SIZE,
) -> bytes:
    with (
        tempfile.NamedTemporaryFile() as file,
        av.open(file.name, "w", format=container, options=options) as output,
    ):
        video = output.add_stream(codec, rate=_RATE, options={"g": str(_KEYFRAME_EVERY), "crf": "12"})
        video.width, video.height = size
        audio = output.add_stream("aac", rate=48000, layout="mono") if sound else None
        for number in range(frames):
            output.mux(video.encode(av.VideoFrame.from_image(_picture(number, size=size))))
        output.mux(video.encode(None))
        if audio:
            for number in range(frames * 48000 // _RATE // 1024):
                output.mux(audio.encode(_noise(number)))
            output.mux(audio.encode(None))
        output.close()
        return file.read()


@pytest.fixture(scope="module")
def clip() -> bytes:
    return _encode()


@pytest.fixture(scope="module")
def clip_ending_in_index() -> bytes:
    return _encode(options=_INDEX_AT_END)


@pytest.fixture(scope="module")
def silent_clip() -> bytes:
    return _encode(sound=False)


@pytest.fixture(scope="module")
def webm() -> bytes:
    return _encode(container="webm", codec="libvpx-vp9", options={}, sound=False)


def _payload(clip: bytes, *, kind: str) -> list[tuple[int, int]]:
    """List where the packets of one kind begin and end."""
    with av.open(BytesIO(clip)) as container:
        packets = [packet for packet in container.demux() if packet.size and packet.stream.type == kind]
        return [(packet.pos or 0, (packet.pos or 0) + packet.size) for packet in packets]


def _cut(clip: bytes, *, at: int) -> bytes:
    """Cut off the end and mend the last box's length, so that only the index knows what is missing."""
    box = clip.index(b"mdat") - 4
    return clip[:box] + (at - box).to_bytes(4) + clip[box + 4 : at]


def test_facts_of_a_clip(clip: bytes) -> None:
    """What is recorded is what was encoded."""
    facts = probe(BytesIO(clip))

    assert facts == VideoFacts(
        container="mp4",
        width=160,
        height=96,
        duration_seconds=2.0,
        frame_rate=24.0,
        frames=48,
        video_codec="h264",
        pixel_format="yuv420p",
        audio_codec="aac",
        audio_sample_rate=48000,
    )


def test_facts_of_a_silent_clip(silent_clip: bytes) -> None:
    """A clip without a sound track is whole, and says so."""
    facts = probe(BytesIO(silent_clip))

    assert (facts.audio_codec, facts.audio_sample_rate) == (None, None)


def test_facts_of_a_webm(webm: bytes) -> None:
    """The provider promises no container, so the other common one is welcome."""
    facts = probe(BytesIO(webm))

    assert (facts.container, facts.video_codec, facts.frames) == ("webm", "vp9", _FRAMES)


@pytest.mark.parametrize("flags", ["frag_keyframe+empty_moov", "dash+frag_keyframe+empty_moov"])
def test_fragments_are_welcome(flags: str) -> None:
    """An MP4 in fragments declares no counts, and is whole all the same."""
    facts = probe(BytesIO(_encode(options={"movflags": flags})))

    assert (facts.frames, facts.duration_seconds) == (_FRAMES, 2.0)


def test_a_path_will_do(clip: bytes, tmp_path: Path) -> None:
    """A path is opened as a file, whatever FFmpeg might make of its name."""
    path = tmp_path / "concat:clip.mp4"
    path.write_bytes(clip)

    assert probe(path) == probe(BytesIO(clip))


def test_an_open_file_stays_open(clip: bytes) -> None:
    """A file without a name is read from its start and left to its owner."""
    with tempfile.TemporaryFile() as file:
        file.write(clip)

        facts = probe(file)

        assert facts.frames == _FRAMES
        assert not file.closed


@pytest.mark.parametrize("permille", [*range(0, 1000, 20), 995, 999])
@pytest.mark.parametrize("layout", ["clip", "clip_ending_in_index", "silent_clip"])
def test_truncation_is_found(layout: str, permille: int, request: pytest.FixtureRequest) -> None:
    """However much of the end is missing, the clip is refused."""
    whole: bytes = request.getfixturevalue(layout)

    with pytest.raises(IntegrityError, match="fetch it again"):
        probe(BytesIO(whole[: len(whole) * permille // 1000]))


@pytest.mark.parametrize("missing", [1, 2, 3, 7, 8, 9, 63, 64])
@pytest.mark.parametrize("layout", ["clip", "clip_ending_in_index", "silent_clip"])
def test_a_missing_byte_is_found(layout: str, missing: int, request: pytest.FixtureRequest) -> None:
    """FFmpeg would forgive the loss of an index's last bytes."""
    whole: bytes = request.getfixturevalue(layout)

    with pytest.raises(IntegrityError, match=f"{missing} bytes are missing"):
        probe(BytesIO(whole[:-missing]))


@pytest.mark.parametrize("shift", [-1, 0, 1, 4])
def test_cuts_at_boxes_are_found(clip: bytes, shift: int) -> None:
    """The index alone is not a video, however whole it is."""
    after_index = clip.index(b"mdat") - 4

    with pytest.raises(IntegrityError):
        probe(BytesIO(clip[: after_index + shift]))


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_cuts_between_packets_are_found(clip: bytes, kind: str) -> None:
    """A file that ends where a packet does lacks packets that its index declares."""
    begins, _ = _payload(clip, kind=kind)[-1]
    _, ends = _payload(clip, kind=kind)[-2]

    with pytest.raises(IntegrityError, match=r"packets|cut off"):
        probe(BytesIO(_cut(clip, at=begins)))
    with pytest.raises(IntegrityError, match=r"packets|cut off"):
        probe(BytesIO(_cut(clip, at=ends)))


def test_cuts_in_a_packet_are_found(clip: bytes) -> None:
    """Half a packet of sound still decodes, and yet is refused."""
    begins, ends = _payload(clip, kind="audio")[-1]

    with pytest.raises(IntegrityError, match="audio track is cut off"):
        probe(BytesIO(_cut(clip, at=(begins + ends) // 2)))


def test_a_webm_cut_short_is_found(webm: bytes) -> None:
    """A container without an index is held to the end that it declares."""
    begins, _ = _payload(webm, kind="video")[-1]

    with pytest.raises(IntegrityError, match="fetch it again"):
        probe(BytesIO(webm[: begins - 8]))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 4096, id="zeros"),
        pytest.param(b"<!doctype html><title>This link has expired</title>" * 99, id="html"),
        pytest.param(b'{"code": 404, "message": "expired"}', id="json"),
        pytest.param(b"\x1a\x45\xdf\xa3" + b"\0" * 999, id="hollow-webm"),
        pytest.param(b"\0\0\0\x14ftypisom\0\0\2\0isom", id="hollow-mp4"),
        pytest.param(b"\0\0\0\x14ftypisom\0\0\2\0isom\0\0\0\3free", id="impossible-box"),
    ],
)
@pytest.mark.parametrize("look", [probe, lambda file: scan(file, duration_seconds=1)], ids=["probe", "scan"])
def test_other_content_is_refused(content: bytes, look: Callable[[BytesIO], object]) -> None:
    """What a server sends instead of a video never passes for one."""
    with pytest.raises(IntegrityError, match="fetch it again"):
        look(BytesIO(content))


def test_html_is_quoted() -> None:
    """Whoever reads the message sees what came instead."""
    with pytest.raises(IntegrityError, match="starts with b'<!doctype ht'"):
        probe(BytesIO(b"<!doctype html>"))


def test_playlists_are_refused(clip: bytes, tmp_path: Path) -> None:
    """No file makes us open another."""
    (tmp_path / "clip.mp4").write_bytes(clip)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nclip.mp4\n#EXT-X-ENDLIST\n")

    with pytest.raises(IntegrityError):
        probe(playlist)


def test_sound_alone_is_refused() -> None:
    """A file without pictures is no video."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as output:
        audio = output.add_stream("aac", rate=48000, layout="mono")
        output.mux(audio.encode(_noise(0)))
        output.mux(audio.encode(None))

    with pytest.raises(IntegrityError, match="no video track"):
        probe(file)


def test_unknown_codecs_are_refused(clip: bytes) -> None:
    """A track that nothing here can decode is not archived unseen."""
    with pytest.raises(IntegrityError, match="no video track that can be decoded"):
        probe(BytesIO(clip.replace(b"avc1", b"zzzz")))


def test_huge_pictures_are_refused() -> None:
    """A damaged header cannot make us fill the memory."""
    huge = _encode(frames=1, size=(4096, 2400), sound=False)

    with pytest.raises(IntegrityError):
        probe(BytesIO(huge))


def test_blank_packets_are_found(clip: bytes) -> None:
    """A hole in the middle, as a lost block leaves it, is damage."""
    begins, ends = _payload(clip, kind="video")[_FRAMES // 2]
    holed = clip[:begins] + b"\0" * (ends - begins) + clip[ends:]

    with pytest.raises(IntegrityError):
        probe(BytesIO(holed))


def test_no_pictures_are_no_video() -> None:
    """Fragments that never came leave a video without a single frame."""
    fragments = _encode(options={"movflags": "frag_keyframe+empty_moov"})

    with pytest.raises(IntegrityError, match="gives 0 of 1 frames"):
        probe(BytesIO(fragments[: fragments.index(b"moof") - 4]))


def test_hidden_frames_are_no_damage(silent_clip: bytes) -> None:
    """An edit list may hide frames, and then they are not missed."""
    second = silent_clip.index(b"elst") + 12
    trimmed = silent_clip[:second] + (1000).to_bytes(4) + silent_clip[second + 4 :]

    facts = probe(BytesIO(trimmed))

    assert (facts.frames, facts.duration_seconds) == (24, 1.0)


def test_long_boxes_are_welcome(clip_ending_in_index: bytes) -> None:
    """A box may give its length in 64 bits."""
    short = clip_ending_in_index.index(b"mdat") - 12
    length = int.from_bytes(clip_ending_in_index[short + 8 : short + 12]) + 8
    header = (1).to_bytes(4) + b"mdat" + length.to_bytes(8)

    facts = probe(BytesIO(clip_ending_in_index[:short] + header + clip_ending_in_index[short + 16 :]))

    assert facts.frames == _FRAMES


def test_flipped_bits_are_found(clip: bytes) -> None:
    """Most single flipped bits of the pictures are found, and none raises anything else."""
    source = random.Random(1)  # noqa: S311 -- no secret
    packets = _payload(clip, kind="video")
    flips = [(source.randrange(*source.choice(packets)), source.randrange(8)) for _ in range(60)]

    found = sum(_is_refused(_flip(clip, byte=byte, bit=bit)) for byte, bit in flips)

    assert found >= 48


def test_damaged_indexes_raise_nothing_else(clip: bytes) -> None:
    """Whatever the index says, the answer is facts or an IntegrityError."""
    source = random.Random(2)  # noqa: S311 -- no secret
    begins, ends = clip.index(b"moov"), clip.index(b"mdat")

    for _ in range(50):
        damaged = _flip(clip, byte=source.randrange(begins, ends), bit=source.randrange(8))
        _is_refused(damaged)


def _flip(clip: bytes, *, byte: int, bit: int) -> bytes:
    return clip[:byte] + bytes([clip[byte] ^ 1 << bit]) + clip[byte + 1 :]


def _is_refused(clip: bytes, *, look: Callable[[BytesIO], object] = probe) -> bool:
    try:
        look(BytesIO(clip))
    except IntegrityError:
        return True
    return False


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        pytest.param(lambda picture: picture, 1.0, 1.0, id="itself"),
        pytest.param(lambda picture: picture.resize((320, 192)).convert("RGBA"), 0.98, 1.0, id="size"),
        pytest.param(lambda picture: picture.filter(ImageFilter.GaussianBlur(1)), 0.5, 0.97, id="blurred"),
        pytest.param(lambda _: _picture(4), 0.0, 0.5, id="another"),
        pytest.param(ImageOps.invert, -1.0, 0.0, id="inverted"),
    ],
)
def test_likeness(change: Callable[[Image.Image], Image.Image], least: float, most: float) -> None:
    """It is 1 for the same picture whatever its size, and falls with every difference that is seen."""
    picture = _picture(3)

    assert least <= similarity(picture, change(picture)) <= most


def test_likeness_of_colours() -> None:
    """Two colours of one brightness are told apart, though nothing has a shape."""
    red, blue = Image.new("RGB", (64, 36), "#ff0000"), Image.new("RGB", (64, 36), "#0000ff")

    assert similarity(red, blue) < 0.7
