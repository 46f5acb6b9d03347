"""Fault plans, parsed from YAML or JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from prefect_seedance.sandbox.faults.rules import Rule, Selector
from prefect_seedance.sandbox.faults.table import FAULTS

Model = TypeVar("Model", bound=BaseModel)


class PlanError(ValueError):
    """A plan is invalid; the message names the rule, the field and the expected value."""


def load_plan(path: Path) -> list[Rule]:
    """Read a plan from a YAML file.

    Raises:
        PlanError: The file is not YAML, or not a valid plan.
    """
    try:
        return read_plan(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlanError(f"the plan is not YAML: {error}") from error


def read_plan(plan: object) -> list[Rule]:
    """Read a plan, which is a mapping with one field, `rules`, that contains a list.

    Raises:
        PlanError: A field is unknown, missing or out of range.
    """
    if not isinstance(plan, Mapping) or set(plan) != {"rules"} or not isinstance(plan["rules"], list):
        raise PlanError("a plan is a mapping with one field, rules, that contains a list")
    return [_read_rule(rule, place=f"rule {number}") for number, rule in enumerate(plan["rules"], start=1)]


def _read_rule(rule: object, *, place: str) -> Rule:
    if not isinstance(rule, Mapping):
        raise PlanError(f"{place}: a rule is a mapping with the fields kind and fault")
    fields = {name: value for name, value in rule.items() if name in Selector.model_fields}
    selector = _checked(Selector, fields, place=place)
    name = rule.get("fault")
    faults = FAULTS[selector.kind]
    if not isinstance(name, str) or name not in faults:
        raise PlanError(f"{place}: unknown {selector.kind} fault {name!r}; known faults: {', '.join(faults)}")
    parameters = {
        key: value for key, value in rule.items() if key not in Selector.model_fields and key != "fault"
    }
    return Rule(selector, name, _checked(faults[name], parameters, place=f"{place} ({selector.kind} {name})"))


def _checked(model: type[Model], fields: Mapping[object, object], *, place: str) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise PlanError(f"{place}: {_first_error(error, model)}") from error


def _first_error(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return (
            f"{field}: unknown field; the fault's parameters are: {', '.join(model.model_fields) or 'none'}"
        )
    return f"{field}: {first['msg']}" if field else first["msg"]
