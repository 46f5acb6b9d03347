"""Collect the mistakes in a set-up, so that they are reported together."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect_seedance.errors import SetupError, StoryboardError


class Faults:
    """The mistakes found so far."""

    def __init__(self) -> None:
        self._found: list[SetupError | StoryboardError] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep a mistake that is raised inside, and continue behind the block."""
        try:
            yield
        except (SetupError, StoryboardError) as error:
            self._found.append(error)

    def raise_found(self) -> None:
        """Raise all mistakes found so far.

        Raises:
            StoryboardError: If the storyboard has the only mistakes.
            SetupError: If the set-up has mistakes.
        """
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise SetupError("\n".join(map(str, self._found)))
