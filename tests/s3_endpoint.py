"""moto's S3, with conditional writes one at a time: moto looks and then writes, and S3 is atomic."""

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_ONE_AT_A_TIME = threading.Lock()
_moto = DomainDispatcherApplication(create_backend_app)


def endpoint(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    if "HTTP_IF_NONE_MATCH" in environ and environ["REQUEST_METHOD"] == "PUT":
        with _ONE_AT_A_TIME:
            return list(_moto(environ, start_response))
    return _moto(environ, start_response)  # type: ignore[no-any-return]  # moto has no types


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), endpoint, threaded=True)
