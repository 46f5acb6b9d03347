"""The faults of the API, which each production draws by chance."""

from collections.abc import Mapping, Sequence
from random import Random

Rule = Mapping[str, object]

_FAULTS: Mapping[str, Mapping[str, Sequence[tuple[float, Rule]]]] = {
    "submit": {
        "accept-then-drop": [(0.01, {}), (0.005, {"reset": True})],
        "accept-then-hang": [(0.003, {})],
        "accept-then-answer": [(0.003, {"status": status}) for status in (500, 502, 503, 504)],
        "accept-then-hidden-code": [(0.003, {"code": 500})],
        "accept-then-garbage": [(0.004, {})],
        "accept-without-id": [(0.004, {})],
        "drop": [(0.004, {}), (0.004, {"reset": True})],
        "hang": [(0.002, {})],
        "garbage": [(0.003, {})],
        "answer": [
            *[(0.003, {"status": status}) for status in (400, 401, 402, 403, 404, 429, 500, 503)],
            (0.003, {"status": 429, "retry_after": 1}),
        ],
        "slow": [(0.05, {"seconds": 0.3})],
    },
    "status": {
        "drop": [(0.02, {}), (0.01, {"reset": True})],
        "hang": [(0.002, {})],
        "slow": [(0.03, {"seconds": 0.3})],
        "answer": [
            *[(0.01, {"status": status}) for status in (500, 502, 503, 504)],
            *[(0.002, {"status": status}) for status in (401, 403, 429)],
            (0.2, {"status": 404, "since": "acceptance", "until_seconds": 0.3}),
        ],
        "hidden-code": [(0.01, {"code": 500})],
        "garbage": [(0.02, {})],
        "null-data": [(0.02, {})],
        "unknown-state": [(0.02, {})],
        "step-back": [(0.02, {})],
        "no-urls": [(0.02, {})],
        "broken-result": [(0.02, {})],
    },
    "file": {
        "truncate": [
            *[(0.01, {"at_byte": byte}) for byte in (0, 1, 1000)],
            *[(0.01, {"at_share": share}) for share in (0.4, 0.95)],
            *[(0.01, {"at_share": share, "consistent": True}) for share in (0.4, 0.95)],
        ],
        "flip-bits": [(0.02, {"count": 300})],
        "wrong-length": [(0.01, {"by": by}) for by in (100, -100)],
        "html": [(0.01, {})],
        "empty": [(0.01, {})],
        "expired": [(0.02, {})],
        "redirect": [(0.02, {})],
        "drip": [(0.01, {"bytes_per_second": 40_000})],
        "huge": [(0.005, {"megabytes": 5})],
        "no-range": [(0.03, {})],
        "drop": [(0.01, {})],
        "hang": [(0.003, {"seconds": 1})],
        "slow": [(0.02, {"seconds": 0.3})],
        "answer": [(0.01, {"status": status}) for status in (404, 429, 500, 503)],
    },
    "generation": {
        "fail": [
            (0.003, {"code": code})
            for code in ("CONTENT_VIOLATION", "NSFW", "INVALID_IMAGE_URL", "GENERATION_FAILED", "NEVER_SEEN")
        ],
        "take-longer": [(0.05, {"factor": 4})],
        "two-urls": [(0.03, {})],
    },
    "callback": {
        "never": [(0.1, {})],
        "twice": [(0.1, {})],
        "late": [(0.1, {"seconds": 2.0})],
        "reorder": [(0.05, {"at_most_seconds": 2.0})],
        "before-answer": [(0.05, {})],
        "forge": [(0.05, {"posts": 2})],
    },
}  # fmt: skip
"""Probability and parameters of each fault, by kind and name. No fault is permanent, so that every clip must
succeed unless the API fails or rejects it for good."""


def rules(chance: Random) -> list[Rule]:
    """Draw the fault rules of a production: their frequency and their order."""
    factor = chance.choice((0.5, 1, 1, 2))
    drawn: list[Rule] = [
        {"kind": kind, "fault": fault, "share": min(1, share * factor), **parameters}
        for kind, faults in _FAULTS.items()
        for fault, variants in faults.items()
        for share, parameters in variants
    ]
    chance.shuffle(drawn)
    outage = chance.uniform(0, 4)
    trouble = {"kind": "status", "fault": "answer", "status": 503}
    return (
        [{**trouble, "after_seconds": outage, "until_seconds": outage + 3}, *drawn]
        if chance.random() < 0.1
        else drawn
    )


def without_hangs(drawn: Sequence[Rule]) -> list[Rule]:
    """Return the rules without those that wait for the client to give up."""
    return [rule for rule in drawn if "hang" not in str(rule["fault"])]
