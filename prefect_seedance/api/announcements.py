"""The end of a model, as headers of the API's answers announce it."""

import email.utils
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Final, Self

import httpx
from pydantic import BaseModel, ConfigDict

from prefect_seedance.api.models import capabilities
from prefect_seedance.printable import get_logger, one_line

_ENDPOINTS: Final = ("/generateTask/", "/statusTask/")

_RELATIONS: Final = ("deprecation", "sunset", "successor-version")

_CHARACTERS: Final = 200
"""The most characters of a header that are kept."""

_log = get_logger(__name__)


class Announcement(BaseModel):
    """What the API announces about a model.

    Attributes:
        model: Id of the model.
        deprecation: Since when its use is discouraged; a date, or the header's own words.
        sunset: When it ends, likewise.
        link: Page that explains it.

    Source: RFC 9745 (Deprecation) and RFC 8594 (Sunset).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    deprecation: str | None = None
    sunset: str | None = None
    link: str | None = None

    @classmethod
    def of(cls, response: httpx.Response, *, model: str) -> Self | None:
        """Return what the headers of an answer announce; None if they announce nothing."""
        headers, links = response.headers, response.links
        found = [links[relation].get("url", "") for relation in _RELATIONS if relation in links]
        values = {
            "deprecation": _date(headers.get("Deprecation", "")),
            "sunset": _date(headers.get("Sunset", "")),
            "link": one_line(found[0], limit=_CHARACTERS) if found else "",
        }
        given = {name: value for name, value in values.items() if value}
        return cls(model=model, **given) if given else None

    def __str__(self) -> str:
        since = f" since {self.deprecation}" if self.deprecation not in (None, "true") else ""
        ends = f", and ends it on {self.sunset}" if self.sunset else ""
        page = f" See {self.link}." if self.link else ""
        return f"The API announces the end of {self.model}{since}{ends}.{page}{self._remedy}"

    @property
    def _remedy(self) -> str:
        can = capabilities(self.model)
        successor = can.successor if can else None
        if not successor:
            return " To see the other models, run: prefect-seedance models"
        command = f"prefect-seedance plan STORYBOARD --model {successor}"
        return f" To see what its successor would change, run: {command}"


def note_announcement(response: httpx.Response, *, known: MutableMapping[str, Announcement]) -> None:
    """Keep what the headers of an answer about a model announce, and log it when it is new."""
    path = response.request.url.path
    if not any(endpoint in path for endpoint in _ENDPOINTS):
        return
    model = path.rpartition("/")[2]
    try:
        found = Announcement.of(response, model=model)
        if found and known.get(model) != found:
            known[model] = found
            _log.warning("%s", found)
    except Exception:  # noqa: BLE001 -- whatever the headers contain, the answer may be a paid generation's id
        _log.warning("The headers of an answer about %s cannot be read", model, exc_info=True)


def _date(header: str) -> str:
    """Return the day that a header names, or else its words; empty if it is ``false``."""
    text = header.strip()
    if text.lower() == "false":
        return ""
    try:
        moment = (
            datetime.fromtimestamp(int(text[1:]), UTC)
            if text.startswith("@")
            else email.utils.parsedate_to_datetime(text)
        )
    except (ValueError, OverflowError, OSError):
        return one_line(text, limit=_CHARACTERS)
    return f"{moment:%Y-%m-%d}"
