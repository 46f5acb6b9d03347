"""Count the requests to the API."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from prefect_seedance.errors import NotSentError, RateLimitedError
from prefect_seedance.telemetry import RATE_LIMITED, REQUESTS, error_type

_PATH = re.compile(r"/api/v1/(?:(?P<endpoint>\w+Task)/.+|apikeys/[\w-]+)$")
"""The end of a URL's path, before which a base URL may have a path of its own."""


@contextmanager
def counted(request: httpx.Request) -> Iterator[Callable[[httpx.Response], None]]:
    """Count the request that is sent inside; pass its response to the function that is yielded."""
    answers: list[httpx.Response] = []
    try:
        yield answers.append
    except NotSentError:
        raise
    except BaseException as error:
        _count(request, *answers, error=error)
        raise
    else:
        _count(request, *answers)


def _count(
    request: httpx.Request, response: httpx.Response | None = None, *, error: BaseException | None = None
) -> None:
    endpoint = {"http.request.method": request.method, "url.template": _template(request.url.path)}
    status = {"seedance.status_class": f"{response.status_code // 100}xx"} if response is not None else {}
    failure = {"error.type": error_type(error)} if error is not None else {}
    REQUESTS.record_with(1, {**endpoint, **status, **failure})
    if isinstance(error, RateLimitedError):
        RATE_LIMITED.record_with(1, endpoint)


def _template(path: str) -> str:
    """Return the path of an endpoint, with a placeholder for the model."""
    found = _PATH.search(path)
    if not found:
        return "other"
    return f"/api/v1/{found['endpoint']}/{{model}}" if found["endpoint"] else found[0]
