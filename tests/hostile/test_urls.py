"""No URL from outside leads a run to an address that is not public, or makes it reveal what is there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from prefect_seedance.api.addresses import PUBLIC_HOSTS, HostPolicy
from prefect_seedance.api.resource import fetch
from prefect_seedance.errors import ForbiddenHostError, SeedanceError
from tests.hostile.conftest import Produce, Run
from tests.hostile.wire import SECRET, SIGNATURE, Forbidden, Reply, Web, raw, redirect, response, success

_FORMS = [
    "127.0.0.1", "127.8.9.1", "127.1", "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "localhost",
    "LOCALHOST", "localhost.", "0.0.0.0", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",  # noqa: S104 -- refused
    "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2001:0:4136:e378::1]", "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[fec0::1]",
    "100.100.100.200", "168.63.129.16",
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "[ff02::1]", "[2001:db8::1]",
]  # fmt: skip


@pytest.mark.parametrize("host", _FORMS)
async def test_refuses_every_form(host: str, forbidden: Forbidden) -> None:
    """An address that is not public is refused in every form, and nothing connects to it."""
    reasons = r"not a public host|not an http\(s\) URL|Name or service not known"
    with pytest.raises(SeedanceError, match=reasons):
        await fetch(f"http://{host}:{forbidden.port}/", policy=PUBLIC_HOSTS, max_bytes=100, timeout_seconds=5)

    assert forbidden.callers == []


async def test_listener_counts(forbidden: Forbidden) -> None:
    """The listener counts a caller that is let through, and a host is allowed by its name alone."""
    policy = HostPolicy(allow_hosts=frozenset({"localhost"}))

    found = await fetch(
        f"http://LocalHost:{forbidden.port}/", policy=policy, max_bytes=100, timeout_seconds=5
    )
    callers, forbidden.callers[:] = list(forbidden.callers), []

    assert SECRET in found.content
    assert len(callers) == 1
    with pytest.raises(ForbiddenHostError):
        await fetch(f"http://127.0.0.1:{forbidden.port}/", policy=policy, max_bytes=100, timeout_seconds=5)


_LATE = "before the deadline"
"""The reason of a link that is tried again until the deadline."""


@dataclass(frozen=True)
class Case:
    """A video's link, and what may be said about it.

    Attributes:
        links: The links in the API's answer.
        files: What is served under the links to the hostile host.
        says: Part of the reason in the manifest.
    """

    name: str
    links: Callable[[Web, Forbidden], Sequence[str]]
    says: str
    files: Callable[[Web, Forbidden], Mapping[str, Reply]] = lambda _web, _forbidden: {}

    def __str__(self) -> str:
        return self.name


def _to(host: str) -> Callable[[Web, Forbidden], Sequence[str]]:
    return lambda _, forbidden: [f"http://{host}:{forbidden.port}/clip.mp4?sig={SIGNATURE}"]


def _file(case: str) -> Callable[[Web, Forbidden], Sequence[str]]:
    return lambda web, _: [f"{web.url(case, 'clip.mp4')}?sig={SIGNATURE}"]


CASES = [
    Case("link-unspecified", _to("0.0.0.0"), "0.0.0.0 is not a public host"),  # noqa: S104 -- refused
    Case("link-short", _to("0"), "0 is not a public host"),
    Case("link-ipv6", _to("[::]"), ":: is not a public host"),
    Case("link-mapped", _to("[::ffff:0.0.0.0]"), "is not a public host"),
    Case("link-metadata", lambda *_: ["http://169.254.169.254/latest/meta-data"], "not a public host"),
    Case("link-private", lambda *_: ["https://10.0.0.1/clip.mp4", "https://[fd00::1]/a"], "4 sources tried"),
    Case("link-user", _to(f"user:{SIGNATURE}@0.0.0.0"), "0.0.0.0 is not a public host"),
    Case(
        "redirect-forbidden",
        _file("redirect-forbidden"),
        "not a public host",
        lambda _, forbidden: {"clip.mp4": redirect(f"http://0.0.0.0:{forbidden.port}/?sig={SIGNATURE}")},
    ),
    Case(
        "redirect-twice",
        _file("redirect-twice"),
        "not a public host",
        lambda web, forbidden: {
            "clip.mp4": redirect(web.url("redirect-twice", "next")),
            "next": redirect(f"//0.0.0.0:{forbidden.port}/"),
        },
    ),
    Case(
        "redirect-scheme",
        _file("redirect-scheme"),
        "not http(s)",
        lambda *_: {"clip.mp4": redirect("ftp://127.0.0.1/clip.mp4")},
    ),
    Case(
        "redirect-port",
        _file("redirect-port"),
        "not http(s)",
        lambda *_: {"clip.mp4": redirect("http://127.0.0.1:99999/clip.mp4")},
    ),
    Case(
        "redirect-broken",
        _file("redirect-broken"),
        _LATE,
        lambda *_: {"clip.mp4": redirect(f"http://[{SECRET.decode()}/")},
    ),
    Case(
        "signed-refused",
        _file("signed-refused"),
        "clip.mp4 is not served (403)",
        lambda *_: {"clip.mp4": response(403, SECRET)},
    ),
    Case("signed-down", lambda *_: [f"http://127.0.0.1:9/clip.mp4?sig={SIGNATURE}"], _LATE),
    Case("page", _file("page"), "neither an MP4", lambda *_: {"clip.mp4": response(200, b"<html>" + SECRET)}),
    Case(
        "status-line",
        _file("status-line"),
        _LATE,
        lambda *_: {"clip.mp4": raw(b"HTTP/9.9 " + SECRET + b"\r\n\r\n")},
    ),
    Case(
        "header-line",
        _file("header-line"),
        _LATE,
        lambda *_: {"clip.mp4": raw(b"HTTP/1.1 200 OK\r\n" + SECRET + b"\x1b[31m\0\r\n\r\n")},
    ),
]


@pytest.fixture(scope="module")
def run(produce: Produce, web: Web, forbidden: Forbidden) -> Run:
    """Run all cases at once, each a clip."""
    return produce(
        {
            case.name: {"status": success(*case.links(web, forbidden)), **case.files(web, forbidden)}
            for case in CASES
        }
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_result_links(case: Case, run: Run) -> None:
    """A link that leads elsewhere leaves the clip paid and not archived, with the reason in one line."""
    clip = run.clips[case.name]

    assert run.ended.code == 1
    assert clip["status"] == "not archived"
    assert case.says in clip["reason"]
    assert len(clip["reason"].splitlines()) == 1


def test_image_is_not_read(produce: Produce, web: Web, forbidden: Forbidden, video: bytes) -> None:
    """An image whose host is not public, or redirects to one, is handed to the API and never read."""
    image = {
        "status": success(web.url("image", "clip.mp4")),
        "clip.mp4": response(200, video),
        "moved.png": redirect(f"http://0.0.0.0:{forbidden.port}/a.png"),
    }

    images = [f"https://0.0.0.0:{forbidden.port}/a.png", web.url("image", "moved.png")]
    run = produce({"image": image}, images=images)

    assert run.ended.code == 0
    assert str(run.clips["image"]["seams"]).count("not a public host") == 2


def test_storyboard_is_not_read(produce: Produce, web: Web, forbidden: Forbidden) -> None:
    """A storyboard that redirects to a host that is not public is an error of the set-up."""
    board = {"board.json": redirect(f"http://0.0.0.0:{forbidden.port}/board.json")}

    run = produce({"board": board}, board=web.url("board", "board.json"))

    assert run.ended.code == 2
    assert "not a public host" in run.ended.out


def test_key_needs_encryption(produce: Produce, forbidden: Forbidden) -> None:
    """A base URL that would send the key unencrypted is an error before anything is sent."""
    run = produce({"plain": {}}, base_url=f"http://0.0.0.0:{forbidden.port}")

    assert run.ended.code == 2
    assert "is not https://" in run.ended.out


def test_redirect_carries_no_key(produce: Produce, web: Web, forbidden: Forbidden) -> None:
    """A redirect of the API is not followed, so nothing is started, and the key stays here."""
    moved = response(307, b"", Location=f"http://0.0.0.0:{forbidden.port}/")
    web.requests.clear()

    run = produce({"moved": {"submit": moved}})

    assert run.ended.code == 2
    assert [line.split()[0] for line in web.requests] == ["GET", "POST"]  # the balance, then the submission
