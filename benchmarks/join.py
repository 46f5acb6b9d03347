"""Join a hundred clips into a film, and compare with `ffmpeg -f concat -c copy`.

Usage: python benchmarks/join.py [clips]
"""

import asyncio
import hashlib
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from datetime import UTC, datetime
from pathlib import Path

import av
from PIL import Image

from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.film.join import join_clips
from prefect_seedance.film.scenes import Scene
from prefect_seedance.options import JoinStyle
from prefect_seedance.storage.store import Store
from prefect_seedance.video.probe import probe

CLIPS = int(sys.argv[2] if sys.argv[1:2] == ["join"] else (sys.argv[1:2] or ["100"])[0])
SIZE, RATE, SECONDS, DIFFERENT, ROUNDS = (1280, 720), 24, 8, 4, 3


def main() -> None:
    """Encode clips, join them with each program in turn, and print the best figures of each."""
    ffmpeg = shutil.which("ffmpeg")
    if not ffmpeg:
        sys.exit("ffmpeg is missing: apt-get install ffmpeg")
    with tempfile.TemporaryDirectory() as home:
        videos = [_video(Path(home, f"{number}.mp4"), number=number) for number in range(DIFFERENT)]
        clips = [videos[number % DIFFERENT] for number in range(CLIPS)]
        listed = Path(home, "list.txt")
        listed.write_text("".join(f"file {path}\n" for path in clips))
        theirs = [ffmpeg, "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", str(listed), "-c", "copy"]
        asyncio.run(_archive(home, clips))
        figures: dict[str, list[dict[str, float]]] = {}
        for _ in range(ROUNDS):
            out = f"{home}/theirs.mp4"
            for name, command in (
                ("ffmpeg", [*theirs, out]),
                ("ffmpeg, index first", [*theirs, "-movflags", "+faststart", out]),
                ("join_clips", [sys.executable, __file__, "join", str(CLIPS), home]),
            ):
                figures.setdefault(name, []).append(_measured(command))
        size = Path(out).stat().st_size / 1e6
    print(f"{CLIPS} clips of {SECONDS} s, {SIZE[0]}×{SIZE[1]} with sound, {size:,.0f} MB")
    for name, runs in figures.items():
        best = {key: min(run[key] for run in runs) for key in runs[0]}
        print(f"{name:24}", "  ".join(f"{key} {value:,.2f}" for key, value in best.items()))


def _measured(command: list[str]) -> dict[str, float]:
    """Run a command, and return its time, its CPU time and the figures it prints."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    figures = {
        "wall s": time.monotonic() - started,
        "CPU s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }
    return {**figures, **json.loads(done.stdout or "{}")}


def join(home: str) -> None:
    """Join the archived clips, and print the figures without Python's startup."""
    store = Store.open(f"{home}/archive")
    scenes = [_scene(store, number) for number in range(1, CLIPS + 1)]
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.monotonic(), time.process_time()
    made = asyncio.run(join_clips(store, scenes, production="long", title="Long", style=JoinStyle()))
    assert made.join == "copied"
    figures = {
        "of which joining, wall s": time.monotonic() - started,
        "joining, CPU s": time.process_time() - cpu,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "of which before MB": before_kb / 1024,
    }
    print(json.dumps(figures))
    shutil.rmtree(f"{home}/archive/productions")


async def _archive(home: str, clips: list[Path]) -> None:
    """Store the clips in an archive, each under its own fingerprint."""
    store = Store.open(f"{home}/archive")
    facts = {path: probe(path) for path in set(clips)}
    for number, path in enumerate(clips, 1):
        content = path.read_bytes()
        clip = Clip(
            fingerprint=f"{number:032x}",
            name=f"{number}",
            key=f"clips/{number:032x}/clip.mp4",
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            facts=facts[path],
            findings=(),
            attempt=1,
            generation_id="task",
            model="m",
            base_url="u",
            request=GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves")),
            archived_at=datetime.now(UTC),
        )
        await store.put(clip.key, content)
        await store.put(f"clips/{number:032x}/clip.json", clip.model_dump_json().encode())


def _scene(store: Store, number: int) -> Scene:
    record = Path(store.url, f"clips/{number:032x}/clip.json").read_bytes()
    clip = Clip.model_validate_json(record)
    return Scene(
        number=number, name=clip.name, fingerprint=clip.fingerprint, seconds=float(SECONDS), clip=clip
    )


def _video(path: Path, *, number: int) -> Path:
    with av.open(str(path), "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "28"})
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        audio = out.add_stream("aac", rate=48_000, layout="stereo")
        noise = Image.frombytes("RGB", (64, 36), os.urandom(64 * 36 * 3)).resize(SIZE)
        for index in range(SECONDS * RATE):
            frame = av.VideoFrame.from_image(noise.rotate(index + number))  # type: ignore[no-untyped-call]  # untyped in PyAV
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for start in range(0, SECONDS * 48_000, 1024):
            sound = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            sound.sample_rate, sound.pts = 48_000, start
            wave = array("f", (math.sin((start + k) / (10 + number)) / 4 for k in range(1024))).tobytes()
            for plane in sound.planes:
                plane.update(wave)
            out.mux(audio.encode(sound))
        out.mux(audio.encode(None))
    return path


if __name__ == "__main__":
    join(sys.argv[3]) if sys.argv[1:2] == ["join"] else main()
