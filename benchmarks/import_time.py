"""Measure the import time of this package and of Prefect, alternating, each in a fresh process.

Run: .venv/bin/python benchmarks/import_time.py
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 7


def seconds(statement: str) -> float:
    """Return how long a fresh interpreter takes for one statement."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the medians, excluding interpreter startup, and their ratios."""
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
