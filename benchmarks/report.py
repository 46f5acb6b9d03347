"""Measure the time, size and memory of a report for 100 and for 1,000 clips."""

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
_IMAGES = ROOT / "examples/lighthouse/images"
_MEGA = 1_000_000


async def archive(folder: Path, clips: int) -> Path:
    """Fill a folder with clips, their ledger, and detailed stills of 640 × 360."""
    from prefect_seedance.storage.store import Store
    from tests.reports import made, manifest_of, still_keys

    store = Store.open(str(folder))
    stills = []
    for number, name in enumerate(("dawn.png", "noon.jpg", "dusk.webp")):
        file = folder / f"still-{number}.jpg"
        with Image.open(_IMAGES / name) as image:
            image.convert("RGB").resize((640, 360)).save(file, quality=85)
        stills.append(file.read_bytes())
    entries = [await made(store, number) for number in range(1, clips + 1)]
    for entry in entries:
        for key, still in zip(still_keys(entry.number), stills, strict=True):
            await store.put(key, still)
    account = folder / "account.json"
    account.write_text(manifest_of(*entries).model_dump_json(), encoding="utf-8")
    return account


async def measure(account: Path) -> None:
    """Write one report, and print its figures."""
    from prefect_seedance.report.manifest import Manifest
    from prefect_seedance.report.render import render_report
    from prefect_seedance.storage.store import Store

    store = Store.open(str(account.parent))
    manifest = Manifest.model_validate_json(await store.read(account.name) or b"")
    before, started, cpu_started = _peak_bytes(), time.perf_counter(), time.process_time()
    written = await render_report(manifest, store)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    sheet = await store.size_bytes(written.contact_sheet) or 0
    print(
        f"{len(manifest.clips):5,} clips: {seconds:6.2f} s ({cpu_seconds:.2f} s of CPU), "
        f"page {written.size_bytes / _MEGA:.1f} MB, "
        f"contact sheet {sheet / _MEGA:.1f} MB, "
        f"peak memory {_peak_bytes() / _MEGA:.0f} MB, before {before / _MEGA:.0f} MB"
    )


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(measure(Path(sys.argv[1])))
    else:
        for number in (100, 1000):
            with tempfile.TemporaryDirectory() as folder:
                filled = asyncio.run(archive(Path(folder), number))
                subprocess.run([sys.executable, "-m", "benchmarks.report", filled], cwd=ROOT, check=True)
