"""What a redirect of the API's base URL means."""

import httpx

from prefect_seedance.api.urls import shown_url
from prefect_seedance.doors import account
from prefect_seedance.errors import NoAnswerError, RedirectedError, SeedanceError

_ENDPOINTS = "/api/v1/"
"""What follows the base URL in the URL of every endpoint."""


def redirection(response: httpx.Response) -> SeedanceError:
    """Return the error of a redirect, which is not followed: it could send the key to another host."""
    asked, target = response.request.url, _target(response)
    if response.status_code == httpx.codes.SEE_OTHER and target and _is_elsewhere_in_api(asked, target):
        return NoAnswerError(f"The API answered 303 and refers to {shown_url(str(target))} for the result")
    leads = f"to {_base(target)}" if target else "without a target"
    return RedirectedError(
        f"The base URL {_base(asked)} redirects {leads} ({response.status_code}), so the request did not "
        f"reach the API. Set {account('base_url')} to the URL that the provider states",
        code=response.status_code,
    )


def _target(response: httpx.Response) -> httpx.URL | None:
    try:
        return response.request.url.join(response.headers["Location"])
    except (KeyError, httpx.InvalidURL, UnicodeError):
        return None


def _is_elsewhere_in_api(asked: httpx.URL, target: httpx.URL) -> bool:
    """Return whether a target is another endpoint, so that a 303 may follow a request that was executed."""
    return asked.host == target.host and asked.path.rstrip("/") != target.path.rstrip("/")


def _base(url: httpx.URL) -> str:
    return shown_url(str(url)).partition(_ENDPOINTS)[0]
