"""Seedance video generation as Prefect flows: pay once, lose nothing."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_seedance.api.client import SeedanceClient as SeedanceClient
    from prefect_seedance.api.credentials import Credentials as Credentials
    from prefect_seedance.api.wire import ClipSettings as ClipSettings
    from prefect_seedance.clips.archive import Clip as Clip
    from prefect_seedance.clips.history import ClipStatus as ClipStatus
    from prefect_seedance.errors import SeedanceError as SeedanceError
    from prefect_seedance.film.scenes import Film as Film
    from prefect_seedance.options import Budget as Budget
    from prefect_seedance.options import Hosting as Hosting
    from prefect_seedance.options import JoinStyle as JoinStyle
    from prefect_seedance.options import Loading as Loading
    from prefect_seedance.options import Output as Output
    from prefect_seedance.options import RetryPolicy as RetryPolicy
    from prefect_seedance.options import Waiting as Waiting
    from prefect_seedance.orchestration.blocks import ClipArchive as ClipArchive
    from prefect_seedance.orchestration.blocks import SeedanceCredentials as SeedanceCredentials
    from prefect_seedance.orchestration.clip_job import SeedanceClip as SeedanceClip
    from prefect_seedance.orchestration.clip_job import SeedanceClipRun as SeedanceClipRun
    from prefect_seedance.orchestration.plan import plan as plan
    from prefect_seedance.orchestration.produce import produce as produce
    from prefect_seedance.orchestration.tasks import archive_clip as archive_clip
    from prefect_seedance.orchestration.tasks import inspect_clip as inspect_clip
    from prefect_seedance.orchestration.tasks import join_film as join_film
    from prefect_seedance.orchestration.tasks import submit_clip as submit_clip
    from prefect_seedance.orchestration.tasks import wait_for_clip as wait_for_clip
    from prefect_seedance.orchestration.tasks import write_report as write_report
    from prefect_seedance.production.progress import Progress as Progress
    from prefect_seedance.production.settings import RunSettings as RunSettings
    from prefect_seedance.report.manifest import Manifest as Manifest
    from prefect_seedance.storyboard.loader import load_storyboard as load_storyboard
    from prefect_seedance.storyboard.plan import Plan as Plan
    from prefect_seedance.storyboard.plan import PlannedClip as PlannedClip
    from prefect_seedance.storyboard.schema import ClipList as ClipList
    from prefect_seedance.storyboard.schema import ClipSpec as ClipSpec
    from prefect_seedance.storyboard.schema import Shot as Shot
    from prefect_seedance.storyboard.schema import Storyboard as Storyboard

__version__ = "0.1.0"

_HOMES = {
    "Budget": "options",
    "Clip": "clips.archive",
    "ClipArchive": "orchestration.blocks",
    "ClipList": "storyboard.schema",
    "ClipSettings": "api.wire",
    "ClipSpec": "storyboard.schema",
    "ClipStatus": "clips.history",
    "Credentials": "api.credentials",
    "Film": "film.scenes",
    "Hosting": "options",
    "JoinStyle": "options",
    "Loading": "options",
    "Manifest": "report.manifest",
    "Output": "options",
    "Plan": "storyboard.plan",
    "PlannedClip": "storyboard.plan",
    "Progress": "production.progress",
    "RetryPolicy": "options",
    "RunSettings": "production.settings",
    "SeedanceClient": "api.client",
    "SeedanceClip": "orchestration.clip_job",
    "SeedanceClipRun": "orchestration.clip_job",
    "SeedanceCredentials": "orchestration.blocks",
    "SeedanceError": "errors",
    "Shot": "storyboard.schema",
    "Storyboard": "storyboard.schema",
    "Waiting": "options",
    "archive_clip": "orchestration.tasks",
    "inspect_clip": "orchestration.tasks",
    "join_film": "orchestration.tasks",
    "load_storyboard": "storyboard.loader",
    "plan": "orchestration.plan",
    "produce": "orchestration.produce",
    "submit_clip": "orchestration.tasks",
    "wait_for_clip": "orchestration.tasks",
    "write_report": "orchestration.tasks",
}
"""The module of each public name, imported when the name is first used, so that Prefect is not loaded
without need. Type checkers read the imports above."""


__all__ = sorted(_HOMES)  # noqa: PLE0605 -- a list


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
