"""The templates of pages, which escape all text of others."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from prefect_seedance.api.urls import without_secrets
from prefect_seedance.printable import escape
from prefect_seedance.report.formatting import (
    format_duration,
    format_pause,
    format_size,
    format_time,
    rate_cut,
)

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    finalize=lambda value: escape(value, keep="\n") if type(value) is str else value,  # markup is our own
    undefined=StrictUndefined,
)
templates.filters |= {
    "time": format_time,
    "duration": format_duration,
    "size": format_size,
    "pause": format_pause,
    "rating": rate_cut,
    "web": without_secrets,
}
