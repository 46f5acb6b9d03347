"""Check videos and audio files that are references against the models of their clips."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from prefect_seedance.api.capabilities import FileLimits
from prefect_seedance.api.models import facts_of
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.drafts import Draft
from prefect_seedance.storyboard.media import WORDS, Medium, SourceMedia, limits_of
from prefect_seedance.storyboard.media_inspection import check_size
from prefect_seedance.storyboard.yaml_lines import Loc

Media: TypeAlias = Mapping[tuple[Medium, str], SourceMedia | str]
"""By the medium and the name in the document: the file, or an error message."""


def widest_limits(drafts: Iterable[Draft], medium: Medium, *, model: str) -> FileLimits:
    """Return limits that refuse no file which the model of any clip accepts.

    Args:
        drafts: The clips.
        medium: Of the files.
        model: Id of the account's model, which counts too.
    """
    models = dict.fromkeys((model, *(draft.model for draft in drafts)))
    each = [limits_of(facts_of(known), medium) for known in models]
    return FileLimits(
        formats=tuple(dict.fromkeys(kind for limits in each for kind in limits.formats)),
        seconds=(min(limits.seconds[0] for limits in each), max(limits.seconds[1] for limits in each)),
        total_seconds=max(limits.total_seconds for limits in each),
        max_bytes=max(limits.max_bytes for limits in each),
    )


def media_problems(drafts: Iterable[Draft], media: Media) -> Iterator[tuple[Loc, str]]:
    """Yield the path of each video or audio file that cannot be used for its clip, and the reason."""
    for draft in drafts:
        for medium in WORDS:
            yield from _problems(draft, medium, media)


def _problems(draft: Draft, medium: Medium, media: Media) -> Iterator[tuple[Loc, str]]:
    limits = limits_of(facts_of(draft.model), medium)
    total_seconds, longest = 0.0, 0.0
    for loc, kind, name in draft.references.media:
        if kind != medium:
            continue
        file = media[medium, name]
        if isinstance(file, str):
            yield loc, file
            continue
        if reason := _refusal(file, medium, limits):
            yield loc, f"{name} {reason}"
        total_seconds += file.duration_seconds or 0.0
        longest = max(longest, file.duration_seconds or 0.0)
    if longest <= limits.seconds[1] and round(total_seconds, 1) > limits.total_seconds:
        accepted = f"{draft.model} accepts {limits.total_seconds:g} s"
        yield (
            (*draft.references.loc, f"{medium}s"),
            f"have {total_seconds:.1f} s together, and {accepted}; shorten or remove some",
        )


def _refusal(file: SourceMedia, medium: Medium, limits: FileLimits) -> str | None:
    """Return why a model refuses a file; None if it does not, or if only the API knows the file."""
    if file.duration_seconds is None or file.size_bytes is None:
        return None
    shortest, longest = limits.seconds
    if file.format not in limits.formats:
        return f"is {file.format}; convert the {WORDS[medium]} to {' or '.join(limits.formats)}"
    if not shortest <= file.duration_seconds <= longest:
        remedy = "cut it" if file.duration_seconds > longest else "use a longer one"
        allowed = f"a reference has {shortest:g} to {longest:g} s"
        return f"has {file.duration_seconds:,.1f} s, and {allowed}; {remedy}"
    try:
        check_size(file.size_bytes, source="it", medium=medium, limits=limits)
    except StoryboardError as error:
        return f"is too large: {error}"
    return None
