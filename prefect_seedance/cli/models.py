"""List the models that clips can be made with."""

import json as jsons
from collections.abc import Iterator, Mapping, Sequence

from cyclopts import App
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.api.capabilities import Capabilities, FileLimits, Mode
from prefect_seedance.api.models import DEFAULT_MODEL, known_models
from prefect_seedance.cli.options import PLAIN, Json
from prefect_seedance.cli.printing import show

app = App(
    name="models",
    default_parameter=PLAIN,
    help_epilogue="A YAML file that SEEDANCE_MODELS names adds further models.",
)


@app.default
def models(*, json: Json = False) -> int:
    """List the models: what each accepts, where that is stated, and when it ends."""
    known = known_models()
    show(*([_json(known)] if json else _rendered(known)))
    return 0


def _json(known: Mapping[str, Capabilities]) -> str:
    return jsons.dumps(
        {
            "default": DEFAULT_MODEL,
            "models": {name: each.model_dump(mode="json") for name, each in known.items()},
        },
        indent=2,
    )


def _rendered(known: Mapping[str, Capabilities]) -> Iterator[RenderableType]:
    for name, each in known.items():
        yield Text(f"{name}{' (default)' if name == DEFAULT_MODEL else ''}", "bold")
        for label, value in _facts(each):
            yield Text(f"  {label:<13}{value}")
        yield Text()


def _facts(model: Capabilities) -> Iterator[tuple[str, str]]:
    fewest, *most = model.prompt_characters
    yield "modes", "; ".join(f"{name}{_files(mode)}" for name, mode in model.modes.items())
    yield "seconds", _range(model.durations_seconds)
    yield "resolution", ", ".join(model.resolutions)
    yield "aspect ratio", ", ".join(model.aspect_ratios)
    for label, kind, limits in (
        ("videos", "videos", model.video_files),
        ("audio files", "audios", model.audio_files),
    ):
        if any(getattr(mode.references, kind) for mode in model.modes.values()):
            yield label, _limits(limits)
    yield "settings", ", ".join(model.settings) or "none"
    yield "prompt", f"{fewest} to {most[0]} characters" if most else "any length"
    yield "results", f"kept for {model.result_days:g} days"
    if model.price_keys:
        given = f"{len(model.prices)} known" if model.prices else "none known"
        yield "price", f"{given}; it depends on {', '.join(model.price_keys)}"
    if model.retired_after:
        yield "ends", f"announced for {model.retired_after}"
    if model.successor:
        yield "successor", model.successor
    yield "source", f"{model.source} (read {model.read_on})"


def _files(mode: Mode) -> str:
    if mode.takes_frames:
        fewest, most = mode.frames
        return f" ({fewest} to {most} images)" if fewest < most else f" ({most} images)"
    kinds = {
        "images": mode.references.images,
        "videos": mode.references.videos,
        "audio files": mode.references.audios,
    }
    listed = ", ".join(f"{most} {kind}" for kind, most in kinds.items() if most)
    return f" (up to {listed})" if listed else ""


def _limits(limits: FileLimits) -> str:
    shortest, longest = limits.seconds
    lengths = f"{shortest:g} to {longest:g} s each, {limits.total_seconds:g} s of a clip"
    return f"{', '.join(limits.formats)}; {lengths}; at most {limits.max_bytes / 1_000_000:g} MB"


def _range(values: Sequence[int]) -> str:
    is_whole = len(values) > 1 and list(values) == list(range(values[0], values[-1] + 1))
    return f"{values[0]} to {values[-1]}" if is_whole else ", ".join(map(str, values))
