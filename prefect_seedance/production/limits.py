"""Refuse a production that buys too much, or that would replace another one."""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.prices import price_per_second
from prefect_seedance.clips.history import ClipHistory
from prefect_seedance.doors import option
from prefect_seedance.errors import FailKind
from prefect_seedance.options import Output, RetryPolicy
from prefect_seedance.report.manifest import production_key
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import Plan, PlannedClip

_TITLED = ("manifest.json", "storyboard.json")
"""Files of a production with its title. A run that was killed leaves only the second one."""


def seconds_to_buy(plan: Plan, histories: Mapping[str, ClipHistory], policy: RetryPolicy) -> int:
    """Return the seconds of video that a run would buy now.

    Args:
        plan: Of the production.
        histories: What the archive knows of its clips, by fingerprint; clips without one are new.
        policy: Which failures to pay for again.
    """
    return sum(clip.settings.duration for clip, _ in to_buy(plan, histories, policy))


def cost_to_buy(
    plan: Plan,
    histories: Mapping[str, ClipHistory],
    policy: RetryPolicy,
    *,
    price: Decimal | None,
    provider: str = "auto",
) -> Decimal | None:
    """Return what the clips that a run would buy now cost; None if any price is unknown.

    Args:
        plan: Of the production.
        histories: As in `seconds_to_buy`.
        policy: Likewise.
        price: Of one second of any clip. Default: the price in the models' file.
        provider: The account's route, on which prices may depend.
    """
    billed = ((clip, clip.settings.duration) for clip, _ in to_buy(plan, histories, policy))
    return cost_of(billed, price=price, provider=provider)


def cost_of(
    billed: Iterable[tuple[PlannedClip, int]], *, price: Decimal | None, provider: str
) -> Decimal | None:
    """Return what clips cost; None if any price is unknown.

    Args:
        billed: The clips, each with the seconds of video that are billed for it.
        price: As in `cost_to_buy`.
        provider: Likewise.
    """
    total = Decimal(0)
    for clip, seconds in billed:
        each = price
        if each is None:
            requested = clip.input(("",) * len(clip.sources))
            each = price_per_second(requested, model=clip.model, provider=provider)
        if each is None:
            return None
        total += seconds * each
    return total if price is not None or total else None


def price_of(output: Output, credentials: Credentials) -> Decimal | None:
    """Return the price of one second of any clip: the run's, or else the account's; None if unknown."""
    return (
        credentials.price_per_second or None if output.price_per_second is None else output.price_per_second
    )


def unfetched_urls(plan: Plan, histories: Mapping[str, ClipHistory], policy: RetryPolicy) -> list[str]:
    """Return the URLs of files that the API may not have fetched, of clips that a run would buy again.

    Args:
        plan: Of the production.
        histories: As in `seconds_to_buy`.
        policy: Likewise.
    """
    return [
        file.source
        for clip, history in to_buy(plan, histories, policy)
        if history.decisive and history.decisive.outcome and history.decisive.outcome.kind is FailKind.image
        for file in clip.sources
        if not file.is_local
    ]


def to_buy(
    plan: Plan, histories: Mapping[str, ClipHistory], policy: RetryPolicy
) -> Iterator[tuple[PlannedClip, ClipHistory]]:
    """Yield the clips that a run would buy now, with their histories.

    Args:
        plan: Of the production.
        histories: As in `seconds_to_buy`.
        policy: Likewise.
    """
    for clip in plan.distinct:
        history = histories.get(clip.fingerprint, ClipHistory())
        if history.is_bought(policy):
            yield clip, history


def over_budget(seconds: int, *, max_seconds: int) -> str | None:
    """Return why a run may not buy so many seconds of video, with the remedy; None if it may."""
    if seconds <= max_seconds:
        return None
    return (
        f"This run would buy {seconds:,} s of video, more than its limit of {max_seconds:,} s, so nothing "
        f"was spent. Check the storyboard. To buy that much, set {option('max_seconds', seconds)}"
    )


async def other_owner(store: Store, plan: Plan, *, is_named: bool) -> str | None:
    """Return why a plan may not use its production's folder, with the remedy; None if it may.

    Different titles can have one name: "Ep. 2" and "Ep 2!" are both ``ep-2``. The folder belongs to the
    title that used it last. Upper and lower case, spaces, and Unicode forms do not distinguish titles.

    Args:
        store: The archive.
        plan: Of the production.
        is_named: Whether the caller chose the name, and so the folder.
    """
    if is_named:
        return None
    contents = [await store.read(production_key(plan.name, file)) for file in _TITLED]
    titles = [title for content in contents if (title := _title(content))]
    if not titles or _normal(plan.title) in map(_normal, titles):
        return None
    return (
        f"{plan.title!r} would replace the production {titles[0]!r}, because both have the name {plan.name}, "
        f"so nothing was spent. Give this one another {option('name')}, or continue that one with "
        f"{option('name', plan.name)}"
    )


def _title(content: bytes | None) -> str:
    """Return the title in a production's file; an empty string if there is none."""
    try:
        found = json.loads(content or b"")
    except (ValueError, RecursionError):
        return ""
    title = found.get("title") if isinstance(found, dict) else None
    return title if isinstance(title, str) else ""


def _normal(title: str) -> str:
    folded = unicodedata.normalize("NFKC", title).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())
