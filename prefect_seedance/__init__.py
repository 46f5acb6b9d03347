"""Seedance 1.5 Pro video generation as Prefect flows: pay once, lose nothing."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_seedance.archive import Clip as Clip
    from prefect_seedance.blocks import ClipArchive as ClipArchive
    from prefect_seedance.blocks import SeedanceCredentials as SeedanceCredentials
    from prefect_seedance.client import SeedanceClient as SeedanceClient
    from prefect_seedance.clip_job import SeedanceClip as SeedanceClip
    from prefect_seedance.clip_job import SeedanceClipRun as SeedanceClipRun
    from prefect_seedance.cutting import Style as Style
    from prefect_seedance.errors import SeedanceError as SeedanceError
    from prefect_seedance.film import Film as Film
    from prefect_seedance.manifest import Manifest as Manifest
    from prefect_seedance.models import ClipSettings as ClipSettings
    from prefect_seedance.planning import PlannedClip as PlannedClip
    from prefect_seedance.planning import plan as plan
    from prefect_seedance.presentation import Presentation as Presentation
    from prefect_seedance.production import produce as produce
    from prefect_seedance.session import Order as Order
    from prefect_seedance.storyboard import ClipList as ClipList
    from prefect_seedance.storyboard import ClipSpec as ClipSpec
    from prefect_seedance.storyboard import Shot as Shot
    from prefect_seedance.storyboard import Storyboard as Storyboard
    from prefect_seedance.submission import Policy as Policy
    from prefect_seedance.tasks import archive_clip as archive_clip
    from prefect_seedance.tasks import join_film as join_film
    from prefect_seedance.tasks import look_at_clip as look_at_clip
    from prefect_seedance.tasks import submit_clip as submit_clip
    from prefect_seedance.tasks import wait_for_clip as wait_for_clip
    from prefect_seedance.tasks import write_report as write_report
    from prefect_seedance.waiting import Pace as Pace

__version__ = "0.1.0"

_HOMES = {
    "Clip": "archive",
    "ClipArchive": "blocks",
    "ClipList": "storyboard",
    "ClipSettings": "models",
    "ClipSpec": "storyboard",
    "Film": "film",
    "Manifest": "manifest",
    "Order": "session",
    "Pace": "waiting",
    "PlannedClip": "planning",
    "Policy": "submission",
    "Presentation": "presentation",
    "SeedanceClient": "client",
    "SeedanceClip": "clip_job",
    "SeedanceClipRun": "clip_job",
    "SeedanceCredentials": "blocks",
    "SeedanceError": "errors",
    "Shot": "storyboard",
    "Storyboard": "storyboard",
    "Style": "cutting",
    "archive_clip": "tasks",
    "join_film": "tasks",
    "look_at_clip": "tasks",
    "plan": "planning",
    "produce": "production",
    "submit_clip": "tasks",
    "wait_for_clip": "tasks",
    "write_report": "tasks",
}
"""Where each public name lives. It is imported when it is asked for, so that nothing loads Prefect in vain;
type checkers, which cannot see that, read the imports above."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
