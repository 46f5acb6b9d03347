"""URLs of files that the API could not fetch are checked before clips are paid for again."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.clips.hosting_check import check_again
from prefect_seedance.errors import SetupError


@pytest.fixture
def host() -> Iterator[tuple[str, list[str]]]:
    """Serve nothing on a port of this machine: yield its URL, and the paths that were asked for."""
    paths: list[str] = []

    class Missing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Missing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


async def test_shared_file_is_checked_once(host: tuple[str, list[str]]) -> None:
    """A missing image that is the end of one clip and the start of the next is fetched once."""
    url, paths = host

    with pytest.raises(SetupError, match=r"lost\.png, and it still leads to nothing"):
        await check_again([f"{url}/lost.png"] * 3, HostPolicy.of(url))

    assert paths == ["/lost.png"]
