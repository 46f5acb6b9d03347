"""Wait until it is known what became of a submission, and say what is known if that never is."""

import asyncio
import shlex
from datetime import UTC, datetime, timedelta

from prefect_seedance.errors import DeadlineError, SubmissionUnresolvedError
from prefect_seedance.ledger import Attempt, Intent, Ledger
from prefect_seedance.models import CAPABILITIES

_LOOK_EVERY_SECONDS = 1.0
"""How often to see whether another process's submission has been answered."""

_TELLING_SECONDS = 120.0
"""How long after its usual end a generation's callback may still come: it is delivered again after about 30
and 90 s if nobody took it."""

_ADOPTING_SECONDS = 20.0
"""How long the receiver may take to adopt what a callback told of, once its author has had its time."""


async def settled(ledger: Ledger, last: Attempt, *, deadline: float, is_told: bool = False) -> Attempt:
    """Wait while whoever began an attempt may still record what became of it, and return what is known then.

    Args:
        ledger: Where it is recorded.
        last: The last attempt at a clip.
        deadline: By the event loop's clock.
        is_told: Whether to wait for a callback as well, which may tell it after all.

    Raises:
        SubmissionUnresolvedError: If its time is over and nothing was recorded.
        DeadlineError: If the deadline came first.
    """
    if not last.undecided:
        return last
    clock = asyncio.get_running_loop().time
    over = clock() + (_telling_seconds(last) if is_told else last.settling_seconds)
    while clock() < min(over, deadline):
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
        latest = (await ledger.attempts(last.intent.fingerprint))[-1]
        if latest != last:
            return await settled(ledger, latest, deadline=deadline, is_told=is_told)
    if over > deadline:
        raise DeadlineError(
            f"{last.intent.name} is being submitted by {last.intent.asked_by}, whose answer did not come "
            "before the deadline; run again to continue"
        )
    raise SubmissionUnresolvedError(unresolved_message(ledger, last.intent))


def _telling_seconds(attempt: Attempt) -> float:
    """Return how long its author, or a callback, may still tell what became of an attempt."""
    intent = attempt.intent
    if not attempt.awaits_callback:
        return attempt.settling_seconds
    _, slowest = CAPABILITIES[intent.model].generation_seconds[intent.request.input.duration]
    told_by = intent.asked_at + timedelta(seconds=slowest + _TELLING_SECONDS)
    latest = max(told_by, intent.settles_by + timedelta(seconds=_ADOPTING_SECONDS))
    return max(0.0, min(latest - datetime.now(UTC), latest - intent.asked_at).total_seconds())


def unresolved_message(ledger: Ledger, intent: Intent) -> str:
    """Say what is known of an unresolved attempt, and what to do."""
    return (
        f"{intent.name}: attempt {intent.number} was begun at {intent.asked_at:%Y-%m-%d %H:%M:%S} UTC "
        f"by {intent.asked_by}, and no answer is recorded: a paid generation may exist, so it is not "
        f"bought again. Look for it in your account, and then run: "
        f"{resolve_command(ledger, intent)} --adopt TASKID (or --lost, if there is none)"
    )


def resolve_command(ledger: Ledger, intent: Intent) -> str:
    """Return the command that settles an unresolved attempt, but for its last option."""
    return f"prefect-seedance resolve {shlex.quote(ledger.archive)} {intent.fingerprint[:12]}"
