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


class Decision(RunInput):
    """What became of one submission."""

    decision: Literal["adopt", "lost", "leave"] = Field(
        description="adopt: it was accepted. lost: nothing will come of it, and it may be paid for again. "
        "leave: decide another time."
    )
    generation_id: str = Field(default="", description="To adopt: its id, as your account shows it.")


@flow(name="resolve-submissions", flow_run_name="resolve submissions")
async def resolve_submissions(
    archive: options.Archive = "",
    credentials: options.CredentialsName = "",
    answer_within_seconds: Annotated[int, Field(gt=0)] = 86_400,
) -> list[str]:
    """Go through an archive's unresolved submissions, pausing for a person's decision on each.

    Args:
        answer_within_seconds: How long to wait for each decision; then the run fails, and can be run again.

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
    return f"{name}: left as it is"


async def _carry_out(answer: Decision, clip: str, resolver: Resolver, account: Credentials) -> str:
    if answer.decision == "leave":
        return "left as it is"
    if answer.decision == "lost":
        await resolver.declare_lost(clip)
        return "given up; the next production submits it again"
    async with account.get_client() as client:
        await resolver.adopt(clip, answer.generation_id, client=client)
    return f"adopted as {answer.generation_id}; the next production archives it"


def _question(attempt: Attempt) -> str:
    intent = attempt.intent
    return (
        f"**{intent.name}** of {intent.production} was submitted at {intent.asked_at:%Y-%m-%d %H:%M:%S} UTC "
        f"by {intent.asked_by}, and no answer was recorded. Look in your account for a generation of that "
        f"time with the prompt\n\n> {intent.request.input.prompt}"
    )
