"""All faults, by kind and name."""

from collections.abc import Mapping

from prefect_seedance.sandbox.faults.fault import Fault
from prefect_seedance.sandbox.faults.generations import (
    BeforeAnswer,
    Fail,
    Forge,
    Late,
    Never,
    NeverEnd,
    Reorder,
    TakeLonger,
    Twice,
    TwoUrls,
)
from prefect_seedance.sandbox.faults.responses import (
    Amount,
    AnnounceEnd,
    Answer,
    Drop,
    Garbage,
    Hang,
    HiddenCode,
    Slow,
)
from prefect_seedance.sandbox.faults.rules import Kind
from prefect_seedance.sandbox.faults.status_data import BrokenResult, NoUrls, NullData, StepBack, UnknownState
from prefect_seedance.sandbox.faults.submissions import (
    AcceptThenAnswer,
    AcceptThenDrop,
    AcceptThenGarbage,
    AcceptThenHang,
    AcceptThenHiddenCode,
    AcceptWithoutId,
)
from prefect_seedance.sandbox.faults.transfers import (
    Drip,
    Empty,
    Expired,
    FlipBits,
    Html,
    Huge,
    NoRange,
    Redirect,
    Truncate,
    WrongLength,
)

_ANY_REQUEST: Mapping[str, type[Fault]] = {"drop": Drop, "hang": Hang, "slow": Slow, "answer": Answer}

_ANY_API_REQUEST: Mapping[str, type[Fault]] = {
    **_ANY_REQUEST,
    "hidden-code": HiddenCode,
    "garbage": Garbage,
    "announce-end": AnnounceEnd,
}

FAULTS: Mapping[Kind, Mapping[str, type[Fault]]] = {
    "submit": {
        **_ANY_API_REQUEST,
        "accept-then-drop": AcceptThenDrop,
        "accept-then-hang": AcceptThenHang,
        "accept-then-answer": AcceptThenAnswer,
        "accept-then-hidden-code": AcceptThenHiddenCode,
        "accept-then-garbage": AcceptThenGarbage,
        "accept-without-id": AcceptWithoutId,
    },
    "status": {
        **_ANY_API_REQUEST,
        "null-data": NullData,
        "unknown-state": UnknownState,
        "step-back": StepBack,
        "no-urls": NoUrls,
        "broken-result": BrokenResult,
    },
    "file": {
        **_ANY_REQUEST,
        "truncate": Truncate,
        "flip-bits": FlipBits,
        "wrong-length": WrongLength,
        "html": Html,
        "empty": Empty,
        "expired": Expired,
        "redirect": Redirect,
        "drip": Drip,
        "huge": Huge,
        "no-range": NoRange,
    },
    "balance": {**_ANY_API_REQUEST, "amount": Amount},
    "generation": {"fail": Fail, "take-longer": TakeLonger, "never-end": NeverEnd, "two-urls": TwoUrls},
    "callback": {
        "never": Never,
        "twice": Twice,
        "late": Late,
        "reorder": Reorder,
        "before-answer": BeforeAnswer,
        "forge": Forge,
    },
}
