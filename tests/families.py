"""Processes with all their descendants, as Linux lists them."""

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class _Stat(NamedTuple):
    pid: int
    parent: int
    ticks: int
    """Of the process, and of its children that have exited and were waited for."""


def family(pid: int) -> list[int]:
    """Return a process and all its descendants; Prefect starts each flow run in a session of its own."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in _stats():
        children[stat.parent].append(stat.pid)
    found = [pid]
    for each in found:  # grows meanwhile
        found += children[each]
    return found


def kill_family(pid: int, *, if_true: Callable[[], bool] = lambda: True) -> bool:
    """Kill a process and all its descendants at once, as when their machine loses power.

    Args:
        pid: The process.
        if_true: Called when all of them have stopped; if it returns False, they continue.

    Returns:
        Whether they were killed.
    """
    stopped: set[int] = set()
    while new := set(family(pid)) - stopped:  # a process may start others until it is stopped itself
        for each in new:
            _send(each, signal.SIGSTOP)
        stopped |= new
    is_end = if_true()
    for each in stopped:
        _send(each, signal.SIGKILL if is_end else signal.SIGCONT)
    return is_end


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and all its descendants, also of those that have exited."""
    members = set(family(pid))
    return sum(stat.ticks for stat in _stats() if stat.pid in members) / _TICKS


def memory_mb(pid: int) -> tuple[int, int]:
    """Return the memory of a process and its descendants now, and the largest peak of one of them."""
    now, peaks = 0, [0]
    for each in family(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{each}/status").read_text(encoding="ascii", errors="replace").splitlines()
            sizes = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS:", "VmHWM:")))
            now += int(sizes.get("VmRSS", "0").split()[0]) // 1024
            peaks.append(int(sizes.get("VmHWM", "0").split()[0]) // 1024)
    return now, max(peaks)


def _stats() -> Iterator[_Stat]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            yield _Stat(int(path.parent.name), int(fields[1]), sum(map(int, fields[11:15])))


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
