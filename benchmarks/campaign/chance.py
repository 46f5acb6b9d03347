"""The random choices of a campaign: clips, faults, and when to kill a run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

CLIPS = 20
"""Clips in each production."""

SECONDS = 4
"""Duration of each clip."""

Rule = Mapping[str, object]

_IMAGES = {"dawn": "#f2b48c", "noon": "#8cc8f2", "dusk": "#c06a8c"}

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
}  # fmt: skip
"""Probability and parameters of each fault, by kind and name. No fault is permanent, so that every clip must
succeed unless the API fails or rejects it for good."""

_TRIGGERS: Mapping[str, int] = {
    "time": 3,
    "accepted": 4,
    "intent.json": 2,
    "accepted.json": 2,
    "outcome.json": 1,
    "clip-*.mp4": 3,
    "clip.json": 2,
    "manifest.json": 1,
}
"""Weights of the triggers for a kill; steps near submitting and archiving weigh most."""

_RUN_SECONDS = 6.0
"""Duration of a run on an idle machine; a random time below it can be anywhere in the run."""


_GRACEFUL = 0.15
"""Probability of SIGTERM instead of SIGKILL."""


@dataclass(frozen=True)
class Moment:
    """When to kill a run.

    Attributes:
        trigger: What to observe: seconds since the start, accepted generations, or files of this name.
        growth: How much it must have grown.
        delay_seconds: Time between that growth and the kill.
        is_graceful: Whether to send SIGTERM, as people and schedulers do, instead of SIGKILL.
    """

    trigger: str
    growth: float
    delay_seconds: float
    is_graceful: bool

    @classmethod
    def draw(cls, chance: Random, *, missing: int) -> "Moment":
        """Draw a moment in a run with this many missing clips."""
        (trigger,) = chance.choices(list(_TRIGGERS), weights=list(_TRIGGERS.values()))
        is_graceful = chance.random() < _GRACEFUL
        if trigger == "time":
            return cls(trigger, chance.uniform(0.3, _RUN_SECONDS), delay_seconds=0, is_graceful=is_graceful)
        growth = 1 if trigger == "manifest.json" else chance.randint(1, max(1, missing * 3 // 4))
        delay_seconds = chance.choice((0, 0, 0.01, 0.05, 0.3)) * chance.random()
        return cls(trigger, growth, delay_seconds=delay_seconds, is_graceful=is_graceful)


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


def write_clip_list(folder: Path, *, title: str, chance: Random) -> Path:
    """Write a clip list with zero, one or two images a clip, and return the file."""
    folder.mkdir(parents=True)
    for name, colour in _IMAGES.items():
        Image.new("RGB", (320, 320), colour).save(folder / f"{name}.png")
    clips = [
        {
            "prompt": f"{title}, clip {number}",
            "images": [f"{name}.png" for name in chance.sample(list(_IMAGES), chance.choice((0, 0, 1, 2)))],
            "sound": chance.random() < 0.2,
        }
        for number in range(CLIPS)
    ]
    defaults = {"resolution": "480p", "duration": SECONDS, "fixed_lens": True}
    clip_list = {"title": title, "defaults": defaults, "clips": clips}
    (folder / "clips.json").write_text(json.dumps(clip_list), encoding="utf-8")
    return folder / "clips.json"
