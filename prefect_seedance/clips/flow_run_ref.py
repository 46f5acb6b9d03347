"""The flow run that submits a clip, as the ledger records it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FlowRunRef:
    """A flow run of Prefect.

    Attributes:
        deployment_id: The deployment that started it, or that started the flow run around it; empty if there
            is none.
        url: Its page in Prefect's UI, without credentials; empty if the UI is unknown.
    """

    name: str = ""
    id: str = ""
    deployment_id: str = ""
    url: str = ""

    @property
    def page(self) -> str:
        """Where to find it: its page, or its id if the UI is unknown."""
        return self.url or self.id

    def __str__(self) -> str:
        return f"flow run {self.name}"
