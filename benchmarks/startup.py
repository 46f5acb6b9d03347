"""Measure how soon a command begins: imports, a plan, and the first submission without a Prefect server.

Run: python -m benchmarks.startup
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.machine import compile_package
from tests.processes import BIN, environment, running, sandboxes

_ROUNDS = 7
_SHOTS = 100


def main() -> None:
    """Print medians, each of fresh processes that alternate with the others."""
    compile_package()
    with tempfile.TemporaryDirectory() as folder, sandboxes(Path(folder)) as start:
        home = Path(folder)
        sandbox = start()
        env = environment(home, **sandbox.env)
        clips = home / "clips.yaml"
        prompts = "".join(f"  - prompt: cloud {number}\n" for number in range(_SHOTS))
        clips.write_text(
            f"title: Clouds\ndefaults: {{resolution: 480p}}\nclips:\n{prompts}", encoding="utf-8"
        )
        commands = {
            "the interpreter": (sys.executable, "-c", "pass"),
            "import prefect": (sys.executable, "-c", "import prefect"),
            "import prefect_seedance": (sys.executable, "-c", "import prefect_seedance"),
            "import prefect_seedance.api.client": (
                sys.executable,
                "-c",
                "import prefect_seedance.api.client",
            ),
            f"plan of {_SHOTS} clips": (BIN / "prefect-seedance", "plan", clips, "--archive", home / "plan"),
        }
        found = [[_elapsed(command, env) for command in commands.values()] for _ in range(_ROUNDS)]
        bare, *others = (statistics.median(times) for times in zip(*found, strict=True))
        print(f"{'the interpreter':36} {bare:.2f} s; the others exclude it")
        for name, took in zip(list(commands)[1:], others, strict=True):
            print(f"{name:36} {took - bare:.2f} s")
        first = statistics.median(
            _first_submission(home / f"archive-{n}", clips, env) for n in range(_ROUNDS)
        )
        print(f"{'produce, to the first submission':36} {first - bare:.2f} s")


def _elapsed(command: tuple[object, ...], env: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(list(map(str, command)), env=dict(env), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _first_submission(archive: Path, clips: Path, env: Mapping[str, str]) -> float:
    """Return the time from a command's start to the record of its first accepted submission."""
    command = (BIN / "prefect-seedance", "produce", clips, "--archive", archive, "--max-seconds", 10_000)
    began = time.time()
    with running(*command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            accepted = archive.glob("clips/*/*/accepted.json")
            with contextlib.suppress(ValueError):
                return min(path.stat().st_mtime for path in accepted) - began
            time.sleep(0.05)
    sys.exit("The command ended without a submission")


if __name__ == "__main__":
    main()
