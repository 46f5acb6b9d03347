"""Exit codes of the command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The verdict on a production, by name, as an exit code."""

    complete = 0
    failed = 1
    setup = 2
    unresolved = 3
    in_flight = 4
    interrupted = 130
    """As shells report a command that Ctrl-C stopped before it began."""
