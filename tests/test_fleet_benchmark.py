"""Reading the output of the catalogue that the fleet's benchmark measures."""

import subprocess
import sys

from benchmarks.fleet import printed_by

_PIPE_BYTES = 1 << 16


def test_long_output_ends() -> None:
    """A manifest longer than a pipe is read while the benchmark looks at the workers."""
    code = f"import time; print('x' * {4 * _PIPE_BYTES}, flush=True); time.sleep(0.5); print('end')"
    command = [sys.executable, "-c", code]
    printed, looks = None, 0

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while (printed := printed_by(process, within_seconds=0.2)) is None and looks < 100:
            looks += 1

    assert looks > 0
    assert printed
    assert printed[0].endswith("end\n")
    assert len(printed[0]) > 4 * _PIPE_BYTES
