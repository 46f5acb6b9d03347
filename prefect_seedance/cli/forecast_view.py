"""Show a forecast on the terminal."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.api.urls import shown_url
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.cli.forecast import Action, Forecast, ForecastClip
from prefect_seedance.cli.printing import count, grid

_STYLES: Mapping[Action, str] = {
    Action.make: "bold",
    Action.reuse: "green",
    Action.archive: "cyan",
    Action.wait: "cyan",
    Action.keep_unresolved: "bold yellow",
    Action.keep_unreadable: "bold red",
    Action.keep_failed: "red",
}

_RESULTS: Mapping[Action, str] = {
    Action.make: "made",
    Action.reuse: "reused",
    Action.archive: "archived",
    Action.wait: "awaited",
    Action.keep_unresolved: "left unresolved",
    Action.keep_unreadable: "left unreadable",
    Action.keep_failed: "left failed",
}


def rendered(forecast: Forecast) -> Iterator[RenderableType]:
    """Yield what a terminal shows of a forecast."""
    is_mixed = len({clip.model for clip in forecast.clips}) > 1
    settings = [
        f"{_settings(clip.settings)}{f', {clip.model}' if is_mixed else ''}" for clip in forecast.clips
    ]
    is_equal = len(set(settings)) == 1
    table = grid("#", "clip", "action", "billed", *([] if is_equal else ["settings"]))
    table.columns[0].justify = table.columns[3].justify = "right"
    for clip, shown in zip(forecast.clips, settings, strict=True):
        billed = f"{clip.billed_seconds} s" if clip.billed_seconds else ""
        others = [] if is_equal else [shown]
        table.add_row(f"{clip.number}", clip.name, Text(clip.action, _STYLES[clip.action]), billed, *others)
    of_all = f" of {settings[0]}" if is_equal else ""
    yield Text(f"{forecast.title}: {count(len(forecast.clips), 'clip')}{of_all}\n", "bold")
    yield table
    made = [clip for clip in forecast.clips if clip.action is Action.make]
    yield from _changed(made)
    yield from _media(made)
    for clip in forecast.clips:
        if clip.reason:
            yield Text(f"\n{clip.reason}", _STYLES[clip.action])
    yield Text(f"\n{_totals(forecast)}")
    yield from _remarks(forecast)
    for refusal in forecast.refusals:
        yield Text(f"\nA run would refuse this: {refusal}", "bold red")


def _remarks(forecast: Forecast) -> Iterator[RenderableType]:
    if forecast.instead_of:
        old, again = forecast.instead_of, forecast.instead_of.bought_again
        cost = "" if old.cost is None else f", at a cost of {old.cost:,}"
        yield Text(f"With the storyboard's own models, {old.billed_seconds:,} s would be billed{cost}.")
        if again:
            yield Text(f"Bought again although paid before: {', '.join(again)}.", "bold yellow")
    if forecast.balance is not None:
        yield Text(f"Balance: {forecast.balance:,} USD.")
    for notice in forecast.notices:
        yield Text(f"\n{notice}", "yellow")


def _settings(settings: ClipSettings) -> str:
    """Return the settings of a clip in words."""
    lens = ", fixed lens" if settings.fixed_lens else ""
    search = ", web search" if settings.web_search else ""
    sound = "with sound" if settings.sound else "silent"
    return f"{settings.duration} s, {settings.resolution}, {settings.aspect_ratio}, {sound}{lens}{search}"


def _changed(clips: Iterable[ForecastClip]) -> Iterator[RenderableType]:
    """List the images that are changed before the API receives them."""
    images = dict.fromkeys(image for clip in clips for image in clip.images if image.changes)
    if not images:
        return
    table = grid("image", "size", "change")
    for image in images:
        made = f"{', '.join(image.changes)}, {image.sent_width}×{image.sent_height}"
        table.add_row(PurePath(image.source).name, f"{image.width}×{image.height}", made)
    yield Text()
    yield table


def _media(clips: Iterable[ForecastClip]) -> Iterator[RenderableType]:
    """List the videos and audio files that clips refer to."""
    files = dict.fromkeys(file for clip in clips for file in (*clip.videos, *clip.audios))
    if not files:
        return
    table = grid("reference", "format", "length", "size")
    for file in files:
        name = PurePath(file.source).name if file.format else shown_url(file.source)
        length = "" if file.duration_seconds is None else f"{file.duration_seconds:.1f} s"
        table.add_row(name, file.format or "", length, f"{file.width}×{file.height}" if file.width else "")
    yield Text()
    yield table


def _totals(forecast: Forecast) -> str:
    counts = ", ".join(f"{number:,} {_RESULTS[action]}" for action, number in forecast.counts.items())
    price = "" if forecast.cost is None else f", at a cost of {forecast.cost:,}"
    return f"{counts}. {forecast.billed_seconds:,} s of video would be billed{price}."
