"""Measure how long importing takes: ours against Prefect's, in turns, each in a fresh process.

Run: .venv/bin/python benchmarks/import_time.py
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 7


def seconds(statement: str) -> float:
    """Time a fresh interpreter that runs one statement."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the medians, without the interpreter's own start, and their ratio."""
    statements = ("pass", "import prefect", "import prefect_seedance", "import prefect_seedance.api.client")
    rounds = [[seconds(statement) for statement in statements] for _ in range(ROUNDS)]
    bare, prefect, ours, client = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"import prefect                  {prefect - bare:.3f} s")
    for statement, took in (("prefect_seedance", ours), ("prefect_seedance.api.client", client)):
        print(
            f"import {statement:<24} {took - bare:.3f} s, {(took - bare) / (prefect - bare):.1%} of Prefect's"
        )


if __name__ == "__main__":
    main()
