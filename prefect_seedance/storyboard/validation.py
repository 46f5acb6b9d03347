"""Hold a document against a pydantic model and say what differs in its author's words."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from operator import getitem
from typing import Any, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from prefect_seedance.storyboard.document import Document, Mistake, refuse
from prefect_seedance.storyboard.yaml_lines import Loc

Words = TypeVar("Words", bound=BaseModel)

Blanks = Mapping[tuple[str, ...], Any]
"""What stands in for what is missing or wrong, by trail with ``*`` for positions; else it is left out."""

_EXPECTED: Final[Mapping[str, tuple[str, str]]] = {
    "string_type": ("text", "put it in quotes"),
    "string_unicode": ("whole characters", "retype the half one (a lone surrogate)"),
    "int_type": ("a whole number", "write it without quotes"),
    "bool_type": ("true or false", "write one of them without quotes"),
    "tuple_type": ("a list", "begin each entry with '- '"),
    "model_type": ("fields", "write them as 'name: value'"),
    "literal_error": ("{expected}", "choose one"),
    "greater_than_equal": ("a number of at least {ge}", "raise it"),
}
"""By pydantic's type of error: what a value must be, and the remedy."""

_MOST_SHOWN: Final = 40
"""How many characters of a wrong value a message repeats."""


@dataclass(frozen=True, kw_only=True)
class Proof(Generic[Words]):
    """What a document says as far as it can be understood.

    Attributes:
        words: The document as its model, with blanks where it is wrong.
        mistakes: What is wrong.
        blamed: Where something is wrong, or is missing because its name is misspelt, so that nobody
            complains a second time.
    """

    words: Words
    mistakes: tuple[Mistake, ...]
    blamed: frozenset[Loc]

    def blames(self, trail: Loc) -> bool:
        """Tell whether what stands here, or something around it, is wrong already."""
        return any(trail[:depth] in self.blamed for depth in range(len(trail) + 1))


def proofread(document: Document, *, kind: type[Words], blanks: Blanks) -> Proof[Words]:
    """Read a document as this kind of model, going on after every mistake."""
    try:
        return Proof(words=kind.model_validate(document.value), mistakes=(), blamed=frozenset())
    except ValidationError as error:
        errors = error.errors()
    mistakes = [document.mistake(error["loc"], _message(error, kind)) for error in errors]
    meant = {target for error in errors if (target := _meant(error, kind))}
    wrong = {error["loc"] for error in errors}
    told = tuple(mistake for mistake in mistakes if mistake.trail not in meant)
    if () in wrong:
        refuse(told)
    try:
        words = kind.model_validate(_mended(document.value, wrong=wrong, meant=meant, blanks=blanks))
    except ValidationError:
        refuse(told)
    return Proof(words=words, mistakes=told, blamed=frozenset(wrong | meant))


def _message(error: ErrorDetails, kind: type[BaseModel]) -> str:
    *parents, name = error["loc"] or ("",)
    if error["type"] == "extra_forbidden":
        suggestion = _meant(error, kind)
        known = ", ".join(_model_at(kind, parents).model_fields)
        return (
            f"unknown field; did you mean {suggestion[-1]!r}?"
            if suggestion
            else f"unknown field; known are {known}"
        )
    if error["type"] == "missing":
        return f"is missing: {_model_at(kind, parents).model_fields[str(name)].description}"
    if error["type"] not in _EXPECTED:
        return error["msg"]
    expected, remedy = _EXPECTED[error["type"]]
    return f"expected {expected.format(**error.get('ctx', {}))}, found {_shown(error['input'])}; {remedy}"


def _meant(error: ErrorDetails, kind: type[BaseModel]) -> Loc | None:
    """Guess which field an unknown one was meant to be."""
    if error["type"] != "extra_forbidden":
        return None
    *parents, name = error["loc"]
    close = get_close_matches(str(name).lower(), _model_at(kind, parents).model_fields, n=1)
    return (*parents, close[0]) if close else None


def _model_at(kind: type[BaseModel], trail: Iterable[str | int]) -> type[BaseModel]:
    """Find the model that describes what stands at this trail."""
    for name in trail:
        if isinstance(name, str):
            kind = next(_models_in(kind.model_fields[name].annotation))
    return kind


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _shown(value: object) -> str:
    """Name a value as its author sees it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"the text {_shortened(value)!r}"
        case int() | float():
            return f"the number {value}"
        case list() | tuple():
            return "a list"
        case _:
            return "fields"


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _mended(value: object, *, wrong: AbstractSet[Loc], meant: Iterable[Loc], blanks: Blanks) -> object:
    """Copy plain data with a blank, or nothing, wherever it is wrong or misspelt."""
    mended = _copied(value)
    for trail in (*wrong, *meant):
        *parents, name = trail
        around = reduce(getitem, parents, mended)
        blank = blanks.get(tuple("*" if isinstance(step, int) else step for step in trail))
        if blank is not None and (trail in wrong or name not in around):
            around[name] = blank
        elif trail in wrong and isinstance(around, dict):
            around.pop(name, None)
    return mended


def _copied(value: Any) -> Any:  # noqa: ANN401 -- plain data of any shape
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value
