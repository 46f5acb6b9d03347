"""Create and update the automations of the deployments."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from uuid import UUID

import yaml
from prefect.client.orchestration import PrefectClient
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore

from prefect_seedance.errors import SetupError

_NO_BLOCK = UUID(int=0)
"""Stands for the notification block until it is known; no block has this id."""


class Automated(NamedTuple):
    """An automation, and the action that it needed.

    Attributes:
        action: ``skip`` if it notifies people, and no notification block is known.
        enabled: As a person has left it; new ones are enabled.
    """

    name: str
    action: Literal["create", "update", "skip"]
    enabled: bool


class Automations:
    """What to do about the automations of files, which have their names as identity."""

    def __init__(self, plans: Sequence["_Plan"]) -> None:
        self._plans = plans

    @classmethod
    async def plan(cls, client: PrefectClient, files: Sequence[Path], *, notify: str = "") -> Self:
        """Read the automations of files, and those of the server with the same names.

        Args:
            client: Of the server.
            files: Each has the form that ``prefect automation create --from-file`` reads, without the ids of
                notification blocks.
            notify: Name of a notification block. Default: the one that an existing automation uses.

        Raises:
            SetupError: If there is no such block.
        """
        block = await _find_block(client, notify) if notify else None
        return cls([_Plan(each, await _find(client, each.name), block) for each in _read(files)])

    @property
    def results(self) -> list[Automated]:
        """The automations, each with its action."""
        return [plan.result for plan in self._plans]

    async def carry_out(self, client: PrefectClient) -> None:
        """Create and update them."""
        for plan in self._plans:
            await plan.carry_out(client)


class _Plan:
    """What to do about one automation."""

    def __init__(self, wanted: AutomationCore, existing: Automation | None, block: UUID | None) -> None:
        self._existing = existing
        self._block = block or next((each.block_document_id for each in _notifying(existing)), None)
        self._wanted = wanted.model_copy(update={"enabled": existing.enabled if existing else True})

    @property
    def result(self) -> Automated:
        action: Literal["create", "update"] = "update" if self._existing else "create"
        return Automated(
            name=self._wanted.name,
            action="skip" if self._lacks_block else action,
            enabled=self._wanted.enabled,
        )

    @property
    def _lacks_block(self) -> bool:
        return self._block is None and any(_notifying(self._wanted))

    async def carry_out(self, client: PrefectClient) -> None:
        if self._lacks_block:
            return
        for action in _notifying(self._wanted):
            action.block_document_id = self._block or _NO_BLOCK
        if self._existing:
            await client.update_automation(self._existing.id, self._wanted)
        else:
            await client.create_automation(self._wanted)


def _notifying(automation: AutomationCore | None) -> Iterator[SendNotification]:
    """Yield the actions that need a notification block."""
    return (each for each in (automation.actions if automation else ()) if isinstance(each, SendNotification))


def _read(files: Sequence[Path]) -> Iterator[AutomationCore]:
    for file in files:
        for each in yaml.safe_load(file.read_text(encoding="utf-8"))["automations"]:
            yield AutomationCore.model_validate({**each, "actions": list(map(_with_block, each["actions"]))})


def _with_block(action: Mapping[str, Any]) -> Mapping[str, Any]:
    notifies = action["type"] == "send-notification"
    return {**action, "block_document_id": _NO_BLOCK} if notifies else action


async def _find(client: PrefectClient, name: str) -> Automation | None:
    return next(iter(await client.read_automations_by_name(name)), None)


async def _find_block(client: PrefectClient, name: str) -> UUID:
    """Return the id of a notification block.

    Args:
        client: Of the server.
        name: Of the block, or type and name, such as ``slack-webhook/alerts``.

    Raises:
        SetupError: If no such block exists, or several do.
    """
    able = {"block_schemas": {"block_capabilities": {"all_": ["notify"]}}}
    documents = (await client.request("POST", "/block_documents/filter", json=able)).json()
    blocks = {f"{each['block_type']['slug']}/{each['name']}": UUID(each["id"]) for each in documents}
    found = [full for full in blocks if name in (full, full.partition("/")[2])]
    if len(found) == 1:
        return blocks[found[0]]
    if found:
        raise SetupError(f"Several notification blocks are named {name!r}; name one of {', '.join(found)}")
    known = f"It has {', '.join(sorted(blocks))}" if blocks else "It has none"
    raise SetupError(
        f"The Prefect server has no notification block {name!r}. {known}. Create one in Prefect's UI; "
        "`prefect block create slack-webhook` prints the address of a form"
    )
