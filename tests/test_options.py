"""Every option is declared once: command line, flow and block agree with the option classes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prefect import Flow
from pydantic import BaseModel, ValidationError

from flows.generate_clips import generate_clips
from flows.join_film import join_production
from flows.storyboard_to_transitions import storyboard_to_transitions
from prefect_seedance import SeedanceClip, options
from prefect_seedance.cli.options import _shown
from prefect_seedance.doors import option_name
from prefect_seedance.options import (
    Budget,
    Hosting,
    JoinStyle,
    Loading,
    Output,
    RetryPolicy,
    Waiting,
    describe,
    help_text,
    options_from,
)
from tests.processes import read_help

CLASSES: Sequence[type[BaseModel]] = (Loading, Hosting, RetryPolicy, Budget, Waiting, Output)
FIELDS = [
    pytest.param(each, field, id=f"{each.__name__}.{field}")
    for each in CLASSES
    for field in each.model_fields
]

_TUNING = "for tests and rare set-ups; the command line and Python have it"
_DECISION = "a person decides it for one run; a deployment must not repeat it"

NOT_IN_FLOW: Mapping[str, str] = {
    "timeout_seconds": _TUNING,
    "first_poll_seconds": _TUNING,
    "poll_every_seconds": _TUNING,
    "settling_seconds": _TUNING,
    "callback_grace_seconds": _TUNING,
    "read_ledger_every_seconds": _TUNING,
    "on_unresolved": _DECISION,
    "report": "a flow run always links its report",
    "rescue": "a flow run always rescues clips of its own production",
    "price_per_second": "the credentials block has it",
}
"""Options that storyboard-to-transitions leaves out on purpose, each with its reason."""

NOT_IN_BLOCK: Mapping[str, str] = {
    "prompt": "the block's own field is the prompt of its clip",
    **dict.fromkeys(
        ("duration", "resolution", "aspect_ratio", "sound"), "likewise: they are its clip's settings"
    ),
    "on_unresolved": _DECISION,
    "settling_seconds": _TUNING,
    "callback_url": "a job block waits by itself",
    "callback_grace_seconds": "likewise",
    "read_ledger_every_seconds": "likewise",
    "wait": "likewise",
    "max_seconds": "the limit in the block's credentials applies to its one clip",
    **dict.fromkeys(Output.model_fields, "one clip is no film and has no report"),
}
"""Options that `SeedanceClip` leaves out on purpose, each with its reason."""

FLOW_OVERRIDES: Mapping[str, Mapping[str, Any]] = {
    # None means "for a storyboard", and this flow takes nothing else.
    "film": {"default": True, "description": help_text(options.Film), "type": "boolean"},
}

_COMPARED = ("default", "description", "type", "anyOf", "enum")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def declared(options: type[BaseModel], field: str) -> Mapping[str, Any]:
    """Return the schema of an option, as its class declares it."""
    return _compared(options.model_json_schema()["properties"][field])


def _compared(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in schema.items() if name in (*_COMPARED, *_BOUNDS)}


@pytest.mark.parametrize(("options", "field"), FIELDS)
def test_option_is_described(options: type[BaseModel], field: str) -> None:
    """Each option has a help text of whole sentences, and its schema has no unknown constraint."""
    text = describe(options, field)
    schema = options.model_json_schema()["properties"][field]

    assert text.endswith(".")
    assert schema["description"] == text
    for part in (schema, *schema.get("anyOf", ())):
        assert part.keys().isdisjoint({"gt", "ge", "lt", "le"}), "a form would not know this bound"


@pytest.fixture(scope="module")
def help_page() -> str:
    """Return the help page of `produce`, wide enough for one line per option."""
    return read_help("produce", columns=300)


@pytest.mark.parametrize(("options", "field"), FIELDS)
def test_command_line_agrees(options: type[BaseModel], field: str, help_page: str) -> None:
    """`produce --help` has each option with its help text and its default."""
    (line,) = [line for line in help_page.splitlines() if re.search(rf" --{option_name(field)} ", line)]
    default = _shown(options.model_fields[field].default)

    assert describe(options, field).replace("`", "") in line
    assert re.findall(r"\[default: (.+?)\]", line) == ([default] if default else [])


@pytest.mark.parametrize(("options", "field"), FIELDS)
def test_flow_agrees(options: type[BaseModel], field: str) -> None:
    """The form of storyboard-to-transitions has each option with default, bounds and help text."""
    properties = _properties(storyboard_to_transitions)

    if field in NOT_IN_FLOW:
        assert field not in properties
        return
    expected = {**declared(options, field), **FLOW_OVERRIDES.get(field, {})}
    if field in FLOW_OVERRIDES:
        expected.pop("anyOf", None)
    assert _compared(properties[field]) == expected


@pytest.mark.parametrize("flow", [generate_clips, join_production], ids=lambda flow: flow.name)
def test_other_flows_agree(flow: Flow[..., Any]) -> None:
    """The options that another flow has agree with their classes."""
    properties = _properties(flow)
    classes: tuple[type[BaseModel], ...] = (*CLASSES, JoinStyle)
    found = {
        field: (declared(each, field), _compared(properties[field]))
        for each in classes
        for field in each.model_fields
        if field in properties
    }

    assert found
    assert {field: flow for field, (_, flow) in found.items()} == {
        field: option for field, (option, _) in found.items()
    }


@pytest.mark.parametrize(("options", "field"), FIELDS)
def test_block_agrees(options: type[BaseModel], field: str) -> None:
    """The clip block has each option that concerns one clip, with default, bounds and help text."""
    properties = SeedanceClip.model_json_schema()["properties"]

    if field in NOT_IN_BLOCK:
        assert field not in properties or field == "prompt"
        return
    assert _compared(properties[field]) == declared(options, field)


def test_exceptions_are_options() -> None:
    """No exception names an option that does not exist."""
    known = {field for each in CLASSES for field in each.model_fields}

    assert {*NOT_IN_FLOW, *NOT_IN_BLOCK, *FLOW_OVERRIDES} <= known


@pytest.mark.parametrize("flow", [storyboard_to_transitions, generate_clips], ids=lambda flow: flow.name)
@pytest.mark.parametrize(
    ("parameter", "option"),
    [
        ("archive", options.Archive),
        ("name", options.ProductionName),
        ("credentials", options.CredentialsName),
    ],
)
def test_arguments_agree(flow: Flow[..., Any], parameter: str, option: object) -> None:
    """Archive, name and credentials have one help text everywhere."""
    assert _properties(flow)[parameter]["description"] == help_text(option)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (Hosting, {"images_lifetime_seconds": 8 * 24 * 3600}),
        (Output, {"crossfade_seconds": "3s"}),
        (Output, {"min_similarity": 1.5}),
        (Output, {"price_per_second": -1}),
        (RetryPolicy, {"on_unresolved": "pray"}),
        (Budget, {"max_seconds": -1}),
        (Waiting, {"first_poll_seconds": -1}),
        (Waiting, {"deadline": 60}),
    ],
)
def test_bounds_are_enforced(options: type[BaseModel], values: Mapping[str, object]) -> None:
    """A value out of bounds and an unknown field are errors."""
    with pytest.raises(ValidationError):
        options.model_validate(values)


def test_options_are_values() -> None:
    """Options can be compared, hashed and not changed."""
    assert Waiting(deadline_seconds=60) == Waiting(deadline_seconds=60)
    assert len({Waiting(), Waiting()}) == 1
    with pytest.raises(ValidationError):
        Waiting().deadline_seconds = 60  # type: ignore[misc]  # which is the point


def test_style_is_part_of_output() -> None:
    """The part that decides how clips are joined can be taken out."""
    output = Output(join="exact", gaps="slate", crossfade_seconds=1, film=True)

    assert output.style == JoinStyle(join="exact", gaps="slate", crossfade_seconds=1)
    assert type(output.style) is JoinStyle


@pytest.mark.parametrize(
    ("output", "needed"),
    [
        (Output(film=False, report=False), False),
        (Output(film=True, report=False), True),
        (Output(film=False), True),
        (Output(film=False, report=False, min_similarity=0.5), True),
    ],
)
def test_inspection_is_needed(output: Output, needed: bool) -> None:  # noqa: FBT001  # a column
    """Clips are inspected for a film, a report, or a required similarity."""
    assert output.needs_inspection is needed


@pytest.mark.parametrize(
    ("style", "must_encode"),
    [(JoinStyle(), False), (JoinStyle(join="exact"), True), (JoinStyle(crossfade_seconds=0.5), True)],
)
def test_crossfade_encodes(style: JoinStyle, must_encode: bool) -> None:  # noqa: FBT001  # a column
    """Exact cuts and a crossfade re-encode every clip."""
    assert style.must_encode is must_encode


def _properties(flow: Flow[..., Any]) -> Mapping[str, Any]:
    return flow.parameters.properties


_OF_FLOWS = (Loading, Hosting, RetryPolicy, Budget, Waiting, Output)
_OTHERS = {"storyboard", "clips", "archive", "name", "credentials"}


def test_parameters_become_options() -> None:
    """The fields that are parameters are taken, and the others have their defaults."""
    parameters = {"name": "sea", "join": "exact", "wait": False, "max_seconds": 8}

    assert options_from(parameters, Output) == Output(join="exact")
    assert options_from(parameters, Waiting) == Waiting(wait=False)
    assert options_from(parameters, Hosting) == Hosting()


def test_each_parameter_has_one_option() -> None:
    """No parameter of a shipped flow is ignored, or means two options."""
    for flow in (storyboard_to_transitions, generate_clips):
        for name in flow.parameters.properties.keys() - _OTHERS:
            assert sum(name in kind.model_fields for kind in _OF_FLOWS) == 1, name


@pytest.mark.parametrize("kind", [Loading, Hosting])
def test_wrong_value_is_refused(kind: type[Loading | Hosting]) -> None:
    """A value that an option does not accept is refused, as by the class itself."""
    with pytest.raises(ValueError, match=r"images_lifetime_seconds|prompt"):
        options_from({"images_lifetime_seconds": -1, "prompt": 1}, kind)
