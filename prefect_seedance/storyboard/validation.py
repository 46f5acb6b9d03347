"""Validate a document against a pydantic model, with errors in the author's terms."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from itertools import zip_longest
from operator import getitem
from typing import Any, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from prefect_seedance.storyboard.document import Document, Issue
from prefect_seedance.storyboard.remedies import remedy
from prefect_seedance.storyboard.yaml_lines import Loc

SchemaT = TypeVar("SchemaT", bound=BaseModel)

Placeholders = Mapping[tuple[str, ...], Any]
"""Values that replace missing or invalid fields, by path with ``*`` for positions. Invalid fields without a
placeholder are removed."""

_EXPECTED: Final[Mapping[str, tuple[str, str]]] = {
    "string_type": ("text", "put it in quotes"),
    "string_unicode": ("whole characters", "retype the incomplete one (a lone surrogate)"),
    "int_type": ("a whole number", "write it without quotes"),
    "bool_type": ("true or false", "write one of them without quotes"),
    "tuple_type": ("a list", "begin each entry with '- '"),
    "model_type": ("fields", "write them as 'name: value'"),
    "literal_error": ("{expected}", "choose one"),
    "greater_than_equal": ("a number of at least {ge}", "raise it"),
}
"""By pydantic's error type: the expected value and the remedy."""

_MAX_SUGGESTIONS: Final = 200
"""Errors that are compared with the known fields: a comparison takes 0.2 ms, and a file can have 100,000."""

_MAX_SHOWN: Final = 40
"""The most characters of an invalid value that a message repeats."""


@dataclass(frozen=True, kw_only=True)
class Validated(Generic[SchemaT]):
    """A document as its model, with the issues found.

    Attributes:
        value: The model, with placeholders for invalid fields.
        issues: All issues, in pydantic's order.
        invalid: The paths of invalid fields, and of fields missing because their names are misspelt, so
            that later checks do not report them again.
    """

    value: SchemaT
    issues: tuple[Issue, ...]
    invalid: frozenset[Loc]

    def is_invalid(self, loc: Loc) -> bool:
        """Return whether the value at this path, or one that encloses it, is invalid."""
        return any(loc[:depth] in self.invalid for depth in range(len(loc) + 1))


def validate(document: Document, *, schema: type[SchemaT], placeholders: Placeholders) -> Validated[SchemaT]:
    """Validate a document against a model and collect all issues.

    Raises:
        StoryboardError: The document is invalid and placeholders cannot complete it.
    """
    try:
        return Validated(value=schema.model_validate(document.value), issues=(), invalid=frozenset())
    except ValidationError as error:
        errors = error.errors(include_url=False)
    intended = [_intended_loc(error, schema) for error in errors[:_MAX_SUGGESTIONS]]
    issues = [
        document.issue(error["loc"], _message(error, schema, intended=target))
        for error, target in zip_longest(errors, intended)
    ]
    misspelt = {target for target in intended if target}
    invalid = {error["loc"] for error in errors}
    reported = tuple(issue for issue in issues if issue.loc not in misspelt)
    if () in invalid:
        document.refuse(reported)
    repaired = _repair(document.value, invalid=invalid, misspelt=misspelt, placeholders=placeholders)
    try:
        value = schema.model_validate(repaired)
    except ValidationError:
        document.refuse(reported)
    return Validated(value=value, issues=reported, invalid=frozenset(invalid | misspelt))


def _message(error: ErrorDetails, schema: type[BaseModel], *, intended: Loc | None) -> str:
    *parents, name = error["loc"] or ("",)
    if error["type"] == "extra_forbidden":
        return _unknown(error, _model_at(schema, parents), intended=intended)
    if error["type"] == "missing":
        return f"is missing: {_model_at(schema, parents).model_fields[str(name)].description}"
    if error["type"] not in _EXPECTED:
        return error["msg"]
    expected, fallback = _EXPECTED[error["type"]]
    found = _describe(error["input"])
    field = next((key for key in reversed(error["loc"]) if isinstance(key, str)), "")
    better = remedy(error["type"], field=field, value=error["input"])
    return f"expected {expected.format(**error.get('ctx', {}))}, found {found}; {better or fallback}"


def _unknown(error: ErrorDetails, model: type[BaseModel], *, intended: Loc | None) -> str:
    """Return the message about a field that the model does not have."""
    name = error["loc"][-1]
    if intended:
        return f"unknown field; did you mean {intended[-1]!r}?"
    if name == "clips" and "shots" in model.model_fields:
        return "a file has either 'shots' or 'clips'; move the clips to a file of their own"
    if error["input"] is None:
        return "is no field; if it belongs to the text before it, put that whole text in quotes"
    return f"unknown field; known fields: {', '.join(model.model_fields)}"


def _intended_loc(error: ErrorDetails, schema: type[BaseModel]) -> Loc | None:
    """Return the path of the field that an unknown field's name resembles."""
    if error["type"] != "extra_forbidden":
        return None
    *parents, name = error["loc"]
    close = get_close_matches(str(name).lower(), _model_at(schema, parents).model_fields, n=1)
    return (*parents, close[0]) if close else None


def _model_at(schema: type[BaseModel], loc: Iterable[str | int]) -> type[BaseModel]:
    """Return the model of the value at this path."""
    for name in loc:
        if isinstance(name, str):
            schema = next(_models_in(schema.model_fields[name].annotation))
    return schema


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _describe(value: object) -> str:
    """Describe a value in the author's terms."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"the text {_shorten(value)!r}"
        case int() | float():
            return f"the number {value}"
        case list() | tuple():
            return "a list"
        case _:
            return "fields"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _repair(
    value: object, *, invalid: AbstractSet[Loc], misspelt: Iterable[Loc], placeholders: Placeholders
) -> object:
    """Copy plain data, and replace or remove invalid or missing parts."""
    repaired = _copy(value)
    for loc in (*invalid, *misspelt):
        *parents, name = loc
        parent = reduce(getitem, parents, repaired)
        placeholder = placeholders.get(tuple("*" if isinstance(key, int) else key for key in loc))
        if placeholder is not None and (loc in invalid or name not in parent):
            parent[name] = placeholder
        elif loc in invalid and isinstance(parent, dict):
            parent.pop(name, None)
    return repaired


def _copy(value: Any) -> Any:  # noqa: ANN401 -- plain data of any shape
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list | tuple) else value
