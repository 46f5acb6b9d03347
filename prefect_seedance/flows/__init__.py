"""The flows that ship with the package."""

from pathlib import Path

# Their one source is flows/ at the top of the repository; the wheel has copies of it in this folder.
if not Path(__file__).with_name("generate_clips.py").is_file():
    __path__.append(str(Path(__file__).parents[2] / "flows"))

from prefect_seedance.flows.generate_clips import generate_clips
from prefect_seedance.flows.join_film import join_production
from prefect_seedance.flows.produce_catalog import produce_catalog
from prefect_seedance.flows.rescue_clips import rescue_clips
from prefect_seedance.flows.resolve_submissions import resolve_submissions
from prefect_seedance.flows.storyboard_to_transitions import storyboard_to_transitions

__all__ = [
    "generate_clips",
    "join_production",
    "produce_catalog",
    "rescue_clips",
    "resolve_submissions",
    "storyboard_to_transitions",
]
