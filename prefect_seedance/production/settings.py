"""The settings of one run: who pays, where clips are stored, and how."""

import secrets
from dataclasses import dataclass, field
from typing import Protocol

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.options import Budget, Hosting, RetryPolicy, Waiting
from prefect_seedance.storage.store import Store


class StoredArchive(Protocol):
    """An archive that knows how to open its store, such as the Prefect block `ClipArchive`."""

    async def open(self) -> Store:
        """Open the store."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Who pays for clips, where they are stored and how they are made: a value to pass to tasks.

    Attributes:
        archive: A folder's path or a URL, a block, or ``block:NAME``; empty for ``SEEDANCE_ARCHIVE``.
        production: The name of the production, for people who read the ledger.
        run_id: Distinguishes the run from all others: it pays at most once for a clip.
        flow_run: The flow run that submits, for people who read the ledger; None outside of one.
        continued_by: Names of Prefect resources that continue the production once a generation has
            ended, if the run does not wait; as in `Intent`.
    """

    credentials: Credentials
    archive: str | StoredArchive = ""
    production: str = ""
    hosting: Hosting = Hosting()
    retry: RetryPolicy = RetryPolicy()
    budget: Budget = Budget()
    waiting: Waiting = Waiting()
    run_id: str = field(default_factory=lambda: secrets.token_hex(8))
    flow_run: FlowRunRef | None = None
    continued_by: tuple[str, ...] = ()

    @property
    def max_seconds(self) -> int:
        """Most seconds of video that the run may buy."""
        limit = self.budget.max_seconds
        return self.credentials.max_seconds if limit is None else limit
