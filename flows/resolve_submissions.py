"""Ask a person about submissions with an unknown outcome."""

from typing import Annotated, Literal

from prefect import flow
from prefect.flow_runs import apause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field

from prefect_seedance import Credentials, options
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt
from prefect_seedance.clips.submit import this_process
from prefect_seedance.clips.unresolved import Resolver
from prefect_seedance.errors import SeedanceError
from prefect_seedance.orchestration.blocks import find_credentials, open_archive
from prefect_seedance.orchestration.states import explained


class Decision(RunInput):
    """A person's decision about one submission."""

    decision: Literal["adopt", "lost", "leave"] = Field(
        description="adopt: your account shows the generation. lost: there is no generation, and the next "
        "run pays for another one. leave: decide later."
    )
    generation_id: str = Field(
        default="", description="To adopt: id of the generation, as your account shows it."
    )


@flow(name="resolve-submissions", flow_run_name="resolve submissions")
@explained
async def resolve_submissions(
    archive: options.Archive = "",
    credentials: options.CredentialsName = "",
    answer_within_seconds: Annotated[int, Field(gt=0)] = 86_400,
) -> list[str]:
    """Ask a person to decide about each unresolved submission of an archive.

    Args:
        answer_within_seconds: How long to wait for each decision. After that, the flow run fails; start
            another one to continue.

    Returns:
        The action taken for each, in words.
    """
    person = f"{flow_run.get_name()} on {this_process()}"
    resolver = Resolver(ledger=Ledger(await open_archive(archive)), resolved_by=person)
    account = await find_credentials(credentials)
    return [
        await _settle(attempt, resolver, account, answer_within_seconds=answer_within_seconds)
        for attempt in await resolver.unresolved()
    ]


async def _settle(
    attempt: Attempt, resolver: Resolver, account: Credentials, *, answer_within_seconds: int
) -> str:
    """Ask about one submission until the answer can be carried out."""
    name, clip, question = attempt.intent.name, attempt.intent.fingerprint, _question(attempt)
    for number in range(1, 100):
        answer = await apause_flow_run(
            wait_for_input=Decision.with_initial_data(description=question),
            timeout=answer_within_seconds,
            poll_interval=2,
            key=f"{clip}-{number}",
        )
        try:
            return f"{name}: {await _carry_out(answer, clip, resolver, account)}"
        except SeedanceError as error:
            question = f"**{error}**\n\n{_question(attempt)}"
    return f"{name}: left unresolved"


async def _carry_out(answer: Decision, clip: str, resolver: Resolver, account: Credentials) -> str:
    if answer.decision == "leave":
        return "left unresolved"
    if answer.decision == "lost":
        await resolver.declare_lost(clip)
        return "declared lost; the next run submits it again"
    async with account.get_client() as client:
        await resolver.adopt(clip, answer.generation_id, client=client)
    return f"adopted as {answer.generation_id}; the next run archives it"


def _question(attempt: Attempt) -> str:
    intent = attempt.intent
    page = f" ({intent.flow_run.page})" if intent.flow_run else ""
    return (
        f"**{intent.name}** of {intent.production} was submitted at {intent.asked_at:%Y-%m-%d %H:%M:%S} UTC "
        f"by {intent.asked_by}{page}, and no answer was recorded. Search your account for a generation from "
        f"that time with this prompt:\n\n> {intent.request.input.prompt}"
    )
