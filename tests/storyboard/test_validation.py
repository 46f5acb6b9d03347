from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, StringConstraints

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.validation import Validated, validate


class Leg(BaseModel):
    """A part of the example."""

    model_config = ConfigDict(extra="forbid")

    length: StrictInt = Field(ge=1, description="Its length.")
    painted: StrictBool = False


class Table(BaseModel):
    """The schema that the test documents are validated against."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[StrictStr, StringConstraints(strip_whitespace=True, max_length=9)] = ""
    legs: tuple[Leg, ...] = Field(description="The legs.")


_PLACEHOLDERS = {("legs",): (), ("legs", "*"): {"length": 1}, ("legs", "*", "length"): 1}


def validated(value: object) -> Validated[Table]:
    return validate(Document.inline(value, name="table"), schema=Table, placeholders=_PLACEHOLDERS)


def test_valid_document_is_unchanged() -> None:
    """A valid document becomes its model, without issues."""
    result = validated({"legs": [{"length": 3}]})

    assert result.value == Table(legs=(Leg(length=3),))
    assert (result.issues, result.invalid) == ((), frozenset())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(
            {"legs": [{"lenght": 3}]},
            "table: leg 1, lenght: unknown field; did you mean 'length'?",
            id="misspelt, not reported as missing",
        ),
        pytest.param(
            {"legs": [], "NAME": "x"}, "table: NAME: unknown field; did you mean 'name'?", id="wrong case"
        ),
        pytest.param(
            {"legs": [], "colour": "x"},
            "table: colour: unknown field; known fields: name, legs",
            id="unknown",
        ),
        pytest.param(
            {"name": "x\ud83d", "legs": []},
            r"table: name: expected whole characters, found the text 'x\ud83d'; "
            "retype the incomplete one (a lone surrogate)",
            id="half a character",
        ),
        pytest.param(
            {"name": "x" * 10, "legs": []},
            "table: name: String should have at most 9 characters",
            id="pydantic's own message",
        ),
        pytest.param({}, "table: legs: is missing: The legs.", id="missing"),
        pytest.param(
            {"legs": [{"length": "3"}]},
            "table: leg 1, length: expected a whole number, found the text '3'; write 3 without quotes",
            id="text for a number",
        ),
        pytest.param(
            {"legs": [{"length": 3.5}]},
            "table: leg 1, length: expected a whole number, found the number 3.5; write a number, such as 8",
            id="fraction for a whole number",
        ),
        pytest.param(
            {"legs": [{"length": 0}]},
            "table: leg 1, length: expected a number of at least 1, found the number 0; raise it",
            id="too small",
        ),
        pytest.param(
            {"name": 5, "legs": []},
            "table: name: expected text, found the number 5; put it in quotes",
            id="number for text",
        ),
        pytest.param(
            {"name": True, "legs": []},
            "table: name: expected text, found true; put it in quotes",
            id="true for text",
        ),
        pytest.param(
            {"legs": [{"length": 1, "painted": "yes"}]},
            "table: leg 1, painted: expected true or false, found the text 'yes'; write true without quotes",
            id="yes for true",
        ),
        pytest.param(
            {"legs": None},
            "table: legs: expected a list, found nothing; begin each entry with '- '",
            id="nothing for a list",
        ),
        pytest.param(
            {"legs": ["x" * 99]},
            f"table: leg 1: expected fields, found the text '{'x' * 39}…'; write them as 'name: value'",
            id="long text for fields",
        ),
    ],
)
def test_issues_are_readable(value: object, message: str) -> None:
    """Each issue names the field, the expected and the actual value, and the remedy."""
    assert [str(issue) for issue in validated(value).issues] == [message]


def test_validation_continues_after_issues() -> None:
    """Valid fields are kept; invalid ones become placeholders or are removed."""
    value = {"nmae": "x", "legs": [{"length": "3", "painted": True}, "four", {"lenght": 5}, {"length": 6}]}

    before = repr(value)

    result = validated(value)

    legs = (Leg(length=1, painted=True), Leg(length=1), Leg(length=1), Leg(length=6))
    assert result.value == Table(legs=legs)
    assert len(result.issues) == 4
    assert repr(value) == before


@pytest.mark.parametrize(
    ("loc", "invalid"),
    [
        pytest.param(("legs", 0, "lenght"), True, id="invalid field"),
        pytest.param(("legs", 0, "length"), True, id="intended field"),
        pytest.param(("legs", 1, "length"), True, id="inside an invalid value"),
        pytest.param(("legs", 0, "painted"), False, id="sibling"),
        pytest.param(("legs",), False, id="parent"),
    ],
)
def test_invalid_covers_consequences(loc: tuple[str | int, ...], invalid: bool) -> None:  # noqa: FBT001 -- a column
    """The consequences of an issue are not reported again."""
    assert validated({"legs": [{"lenght": 3}, "four"]}).is_invalid(loc) is invalid


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([{"length": 3}], id="list"),
        pytest.param("legs", id="text"),
        pytest.param(None, id="nothing"),
    ],
)
def test_document_must_be_a_mapping(value: object) -> None:
    """A document that is not a mapping is refused."""
    with pytest.raises(StoryboardError, match=r"^table: "):
        validated(value)


def test_missing_placeholder_hides_no_issue() -> None:
    """If placeholders cannot complete the document, all issues found so far are raised."""
    document = Document.inline({"legs": ["four"], "nmae": "x"}, name="table")

    with pytest.raises(StoryboardError) as raised:
        validate(document, schema=Table, placeholders={})

    assert [line.split(": ")[1] for line in str(raised.value).splitlines()] == ["leg 1", "nmae"]
