"""Videos that declare more than they have, use other codecs, or stop the decoder."""

import asyncio
import io
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video import decoding
from prefect_seedance.video.decoding import examine_foreign, probe_foreign
from prefect_seedance.video.facts import VideoFacts
from prefect_seedance.video.limits import MAX_MEMORY_BYTES
from prefect_seedance.video.probe import probe
from tests import films
from tests.hostile.conftest import Produce, Run
from tests.hostile.wire import Web, response, success

_MAX_BYTES = 400_000_000
_MAX_SECONDS = 60.0


@pytest.fixture(scope="module")
def clip() -> bytes:
    return films.clip(1, frames=6)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def replaced(clip: bytes, kind: bytes, offset: int, *values: int) -> bytes:
    """Replace numbers of four bytes behind the type of a box."""
    at = clip.index(kind) + 4 + offset
    return clip[:at] + struct.pack(f">{len(values)}I", *values) + clip[at + 4 * len(values) :]


def shifted(clip: bytes) -> bytes:
    """Make the table of times one of shifts."""
    return clip.replace(b"stts", b"ctts")


def fragmented(clip: bytes, *runs: bytes) -> bytes:
    """Append a fragment with these runs."""
    track = box(b"tfhd", struct.pack(">II", 0x20000, 1))
    return clip + box(b"moof", box(b"mfhd", bytes(8)) + box(b"traf", track + b"".join(runs)))


def run(flags: int, count: int) -> bytes:
    return box(b"trun", struct.pack(">II", flags, count))


def nested(clip: bytes, depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = box(b"moov", content)
    return clip + content


LIES = [
    pytest.param(
        lambda clip: replaced(clip, b"stsz", 4, 1, 60_000_000), "60,000,000 samples", id="stsz, equal sizes"
    ),
    pytest.param(
        lambda clip: replaced(clip, b"stsz", 4, 0, 60_000_000), "60,000,000 samples", id="stsz, table"
    ),
    pytest.param(lambda clip: replaced(clip, b"stsz", 4, 2**31, 2**32 - 1), "samples", id="stsz, largest"),
    pytest.param(lambda clip: replaced(clip, b"stts", 4, 60_000_000), "table stts", id="stts, entries"),
    pytest.param(
        lambda clip: replaced(clip, b"stts", 8, 60_000_000), "times of 60,000,00", id="stts, samples"
    ),
    pytest.param(
        lambda clip: replaced(shifted(clip), b"ctts", 4, 2**32 - 1),
        "table ctts",
        id="ctts, entries",
    ),
    pytest.param(
        lambda clip: replaced(shifted(clip), b"ctts", 8, 60_000_000),
        "times of 60,000,0",
        id="ctts, samples",
    ),
    pytest.param(lambda clip: replaced(clip, b"stsc", 4, 60_000_000), "table stsc", id="stsc"),
    pytest.param(lambda clip: replaced(clip, b"stco", 4, 60_000_000), "table stco", id="stco"),
    pytest.param(
        lambda clip: replaced(clip.replace(b"stco", b"co64"), b"co64", 4, 60_000_000), "table co64", id="co64"
    ),
    pytest.param(lambda clip: replaced(clip, b"elst", 4, 60_000_000), "table elst", id="elst"),
    pytest.param(
        lambda clip: fragmented(clip, run(0, 60_000_000)), "60,000,000 samples", id="trun, no fields"
    ),
    pytest.param(lambda clip: fragmented(clip, run(0xF00, 60_000_000)), "60,000,000", id="trun, fields"),
    pytest.param(lambda clip: fragmented(clip, *[run(0, 2000)] * 40), "2,000 samples", id="trun, many"),
    pytest.param(lambda clip: replaced(clip, b"moov", -8, 2**31 - 1), "bytes are missing", id="long moov"),
    pytest.param(lambda clip: replaced(clip, b"trak", -8, 2**31 - 1), "bytes are missing", id="long trak"),
    pytest.param(
        lambda clip: clip + box(b"moov", box(b"cmov", bytes(64))), "compressed", id="compressed index"
    ),
    pytest.param(lambda clip: nested(clip, 500), "too many boxes", id="nested boxes"),
    pytest.param(
        lambda clip: clip + box(b"moov", box(b"mvex", b"") * 100_001), "too many boxes", id="many boxes"
    ),
    pytest.param(lambda clip: clip.replace(b"avc1", b"cvid"), "codec cinepak", id="other video codec"),
    pytest.param(
        lambda clip: clip.replace(b"mp4a", b"alac").replace(b"esds", b"free"),
        "codec alac",
        id="other sound codec",
    ),
    pytest.param(lambda _: b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "neither an MP4 nor a WebM", id="playlist"),
    pytest.param(lambda _: b"\x1a\x45\xdf\xa3" + b"\xff" * 4096, "cannot be decoded", id="WebM of sizes"),
]


@pytest.mark.parametrize(("lie", "line"), LIES)
def test_video_is_refused(lie: Callable[[bytes], bytes], line: str, clip: bytes) -> None:
    """A video that lies is refused in one line, within bounded memory and time."""
    began, before = time.monotonic(), _peak_bytes()

    with pytest.raises(IntegrityError) as refusal:
        probe(io.BytesIO(lie(clip)))

    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert _peak_bytes() - before < _MAX_BYTES
    assert time.monotonic() - began < _MAX_SECONDS


@pytest.fixture(scope="module")
def lies(produce: Produce, web: Web, clip: bytes) -> Run:
    """Run a clip for each lie through the whole command."""
    cases = {}
    for number, param in enumerate(LIES):
        lie, case = param.values[0], f"lie-{number}"
        content = lie(clip) if callable(lie) else b""
        link = web.url(case, "clip.mp4")
        cases[case] = {"status": success(link), "clip.mp4": response(200, content)}
    return produce(cases, are_videos=True)


@pytest.mark.parametrize("number", range(len(LIES)), ids=[str(param.id) for param in LIES])
def test_lie_is_not_archived(number: int, lies: Run) -> None:
    """The command reports such a video as paid and not archived, in one line."""
    clip = lies.clips[f"lie-{number}"]

    assert (clip["status"], len(clip["reason"].splitlines())) == ("not archived", 1)


def test_lies_are_kept_apart(lies: Run) -> None:
    """Of such videos, no clip is stored, and only files that begin like videos are kept beside the clips."""
    names = [name.rpartition("/")[2] for name in lies.stored() if "/clip" in name or name.endswith(".mp4")]

    assert set(names) == {"refused.mp4"}
    assert not any(content.startswith(b"#EXTM3U") for content in lies.stored().values())


@pytest.mark.parametrize("flags", ["+negative_cts_offsets", "frag_keyframe+empty_moov", "faststart"])
def test_honest_video_passes(flags: str, tmp_path: Path) -> None:
    """Whole and fragmented videos declare what they have."""
    path = tmp_path / "copy.mp4"
    source = io.BytesIO(films.clip(2))
    with av.open(source, "r") as read, av.open(str(path), "w", options={"movflags": flags}) as out:
        copies = {stream.index: out.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)

    assert probe(path).frames == probe(source).frames


async def decoded(content: bytes) -> VideoFacts:
    """Decode a video in a child."""
    with ThreadPoolExecutor(1) as executor, tempfile.TemporaryFile() as file:
        file.write(content)
        return await probe_foreign(file, executor=executor)


async def test_child_finds_same(clip: bytes) -> None:
    """A child returns the facts and stills that this process would, and is used again."""
    facts = await decoded(clip)
    (child,) = decoding._CHILDREN._idle[-1:]
    with ThreadPoolExecutor(1) as executor, tempfile.TemporaryFile() as file:
        file.write(clip)
        same, found, _ = await examine_foreign(file, wants_ends=True, executor=executor)

    assert facts == same == probe(io.BytesIO(clip))
    assert found
    assert (films.still(found.start).size, found.has_sound) == (films.SIZE, True)
    assert films.read(films.still(found.end)) == films.read(found.ends[1]) == films.Mark(1, 5)
    assert decoding._CHILDREN._idle[-1] is child


async def test_child_has_limits(clip: bytes) -> None:
    """A child has a limit of memory, and no key in its environment."""
    os.environ["SEEDANCE_API_KEY"] = "key-of-a-test"
    try:
        decoding._CHILDREN.close()
        await decoded(clip)
    finally:
        del os.environ["SEEDANCE_API_KEY"]
    pid = decoding._CHILDREN._idle[-1]._process.pid

    if sys.platform == "linux":
        assert resource.prlimit(pid, resource.RLIMIT_DATA) == (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES)
        assert b"key-of-a-test" not in Path(f"/proc/{pid}/environ").read_bytes()  # noqa: ASYNC240 -- no disk


async def test_memory_is_limited(clip: bytes) -> None:
    """A video that needs more memory than a child has is refused, and the next one is not."""
    decoding._CHILDREN.close()
    await decoded(clip)
    child = decoding._CHILDREN._idle[-1]
    limit = resource.RLIMIT_DATA
    resource.prlimit(child._process.pid, limit, (1, MAX_MEMORY_BYTES))

    with pytest.raises(IntegrityError, match="run again to download it again"):
        await decoded(films.clip(3, size=(1920, 1080)))

    if child in decoding._CHILDREN._idle:
        resource.prlimit(child._process.pid, limit, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    assert (await decoded(clip)).frames == 6


async def test_time_limit_is_named(clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is not done in time is killed, and the message gives the limit."""
    await decoded(clip)
    child = decoding._CHILDREN._idle[-1]
    monkeypatch.setattr(decoding, "MAX_SECONDS", 0.0)

    with pytest.raises(IntegrityError, match=r"^It takes more than 0 s to decode; run again to download it"):
        await decoded(films.clip(3, size=(1920, 1080)))

    assert child._process.returncode is not None


@pytest.mark.parametrize("content", [b"", b"<html>", films.clip(1)[:-900]], ids=["empty", "page", "cut"])
async def test_damage_has_remedy(content: bytes) -> None:
    """Every fault of a video of the API has one remedy."""
    with pytest.raises(IntegrityError, match=r"^Its? [^;]+; run again to download it again$"):
        await decoded(content)


async def test_killed_child_is_replaced(clip: bytes) -> None:
    """A child that a video ends is an error of this video alone."""
    await decoded(clip)
    decoding._CHILDREN._idle[-1].kill()

    with pytest.raises(IntegrityError, match=r"^It stopped the decoder; run again to download it again$"):
        await decoded(clip)
    assert (await decoded(clip)).frames == 6


async def test_cancelling_kills_child() -> None:
    """Cancelling does not wait until a long video is decoded, and leaves no descriptor open."""
    long = films.clip(4, frames=48, size=(1280, 720))
    await decoded(long)
    child, descriptors = decoding._CHILDREN._idle[-1], _descriptors()
    work = asyncio.create_task(decoded(long))
    while child in decoding._CHILDREN._idle:
        await asyncio.sleep(0)

    work.cancel()

    with pytest.raises(asyncio.CancelledError):
        await work
    assert child not in decoding._CHILDREN._idle
    assert child._process.returncode is not None
    assert _descriptors() < descriptors


SCRIPT = """
import asyncio, tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from prefect_seedance.video import decoding

async def main():
    with ThreadPoolExecutor(1) as executor, tempfile.TemporaryFile() as file:
        file.write(open({clip!r}, "rb").read())
        print((await decoding.probe_foreign(file, executor=executor)).frames)
    print(decoding._CHILDREN._idle[-1]._process.pid)

asyncio.run(main())  # without a guard: a child must not run the script again
"""


def test_nothing_is_left_at_exit(clip: bytes, tmp_path: Path) -> None:
    """Children end with the process that started them, and do not run its script or import its folder."""
    (tmp_path / "clip.mp4").write_bytes(clip)
    (tmp_path / "av.py").write_text("raise SystemExit('imported from the working directory')")
    script = tmp_path / "scripts/decode.py"
    script.parent.mkdir()
    script.write_text(SCRIPT.format(clip=str(tmp_path / "clip.mp4")))

    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    frames, pid = done.stdout.split()
    assert frames == "6"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))
