"""Limit the children that decode videos, and the messages between them and this process."""

from typing import Final

MAX_MEMORY_BYTES: Final = 1_000_000_000
"""Memory for one file. Measured, with the imports: inspecting 720p takes 80 MB, and H.264 in 4K with 16
reference frames 520 MB."""

MAX_SECONDS: Final = 120.0
"""Processor time for one file. Measured: 12 s of 720p at 30 Mbit/s take 3.5 s; a busy processor has a tenth
of its time for us."""

REQUEST_BYTES: Final = 4096
LENGTH_BYTES: Final = 8

MARKS: Final = ("black", "frozen", "silent")
"""Fields of a scan that are intervals."""
