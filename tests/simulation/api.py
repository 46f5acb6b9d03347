"""A scripted stand-in for the paid API, with books of what it accepted."""

import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from tests.simulation.clock import EPOCH, World
from tests.simulation.video import video

KEY = "simulated-key"
BASE_URL = "https://api.example"
_FILES = "https://results.example"
_SUBMIT = "/api/v1/generateTask/seedance-1-5-pro"
_STATUS = "/api/v1/statusTask/seedance-1-5-pro"
_BALANCE = "/api/v1/apikeys/current-balance"
_LIFETIME_SECONDS = 15 * 86_400.0
_SECONDS_OF_WORK = 45.0
_INPUT = {"mode", "prompt", "duration", "resolution", "aspect_ratio", "sound", "fixed_lens"}


@dataclass(frozen=True)
class Reply:
    """How the API treats one submission.

    Attributes:
        accepts: Whether a generation is started, and billed.
        code: HTTP status and the envelope's code.
        seconds: Time until the answer arrives; infinite if it is lost.
        breaks: Whether the connection fails: ``before`` anything is sent, or ``after`` the request arrived.
        body: An answer that is not an envelope.
    """

    accepts: bool = True
    code: int = 200
    seconds: float = 0.2
    breaks: str = ""
    body: str = ""

    @property
    def names_id(self) -> bool:
        """Whether the answer contains the id of a generation."""
        return self.accepts and self.code == httpx.codes.OK and not self.body


ACCEPTED = Reply()
LATE = Reply(seconds=20)
LOST = Reply(seconds=math.inf)
RESET = Reply(breaks="after")
FAILED_AFTER_ALL = Reply(code=502)
GARBLED = Reply(body="<html>")
UNHEARD = Reply(accepts=False, seconds=math.inf)
UNREACHABLE = Reply(accepts=False, breaks="before")
BUSY = Reply(accepts=False, code=429)
FAILED = Reply(accepts=False, code=500)
POOR = Reply(accepts=False, code=402)
INVALID = Reply(accepts=False, code=400)


@dataclass(eq=False)
class Post:
    """One submission that left a process.

    Attributes:
        process: Who sent it.
        at: True time at which it was sent.
        time_of_day: The same by the process's wall clock.
        is_accepted: Whether the API started a generation.
    """

    process: str
    at: float
    time_of_day: datetime
    body: Mapping[str, Any]
    is_accepted: bool = False

    @property
    def prompt(self) -> str:
        return str(self.body["input"]["prompt"])


@dataclass(eq=False)
class Sold:
    """A generation in the API's books.

    Attributes:
        reached: Whether its id arrived at the process that asked for it.
        fails: The code with which it fails; empty if it succeeds.
    """

    generation_id: str
    post: Post
    created: float
    reached: bool = False
    fails: str = ""
    seconds_of_work: float = _SECONDS_OF_WORK

    @property
    def seconds(self) -> int:
        """Billed seconds of video."""
        return int(self.post.body["input"]["duration"])

    @property
    def ends(self) -> float:
        return self.created + self.seconds_of_work


@dataclass
class ScriptedApi:
    """The API's side of every request.

    Attributes:
        reply: Called with the number of a try to submit, from 0; returns how to treat it.
        fails: Called with the number of a generation, from 0; returns its failCode, or nothing for success.
        odd: Called for each status read; returns an oddity of `_ODDITIES`, or nothing for the truth.
        serve: Called with the URL of a file and the number of reads so far; returns the status to answer.
        body: Called likewise; returns the bytes of the file.
        links: Number of the links of each video.
        on_send: Called whenever a submission leaves a process.
        on_end: Called when a generation with a callback has ended.
        violations: Requests that the API's contract does not allow.
    """

    world: World
    reply: Callable[[int], Reply] = lambda _: ACCEPTED
    fails: Callable[[int], str] = lambda _: ""
    odd: Callable[[Sold], str] = lambda _: ""
    serve: Callable[[str, int], int] = lambda *_: 200
    body: Callable[[str, int], bytes] = lambda *_: video()
    links: int = 1
    on_send: Callable[[Post], None] = lambda _: None
    on_end: Callable[[Sold], None] = lambda _: None
    posts: list[Post] = field(default_factory=list)
    books: dict[str, Sold] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    tries: int = 0
    reads: int = 0

    def next_reply(self) -> Reply:
        """Return how to treat the next try to submit."""
        self.tries += 1
        return self.reply(self.tries - 1)

    def sold(self, prompt: str) -> list[Sold]:
        """Return what it sold for a prompt."""
        return [each for each in self.books.values() if each.post.prompt == prompt]

    @property
    def billed_seconds(self) -> int:
        """All seconds of video that it sold."""
        return sum(sold.seconds for sold in self.books.values())

    def accept(self, post: Post, reply: Reply) -> httpx.Response:
        """Treat a submission that arrived."""
        if problem := _problem(post.body):
            self.violations.append(problem)
            return envelope(400, problem)
        data: object = None
        if reply.accepts:
            number = len(self.books)
            sold = Sold(f"task_{number + 1:08}", post, created=self.world.now, fails=self.fails(number))
            post.is_accepted, self.books[sold.generation_id] = True, sold
            data = {"taskId": sold.generation_id}
            if post.body.get("callback_url"):
                self.world.later(sold.seconds_of_work, lambda: self.on_end(sold))
        if reply.body:
            return httpx.Response(reply.code, text=reply.body)
        return envelope(reply.code, data=data if reply.names_id else None)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a GET to the API."""
        if request.url.path == _BALANCE:
            return envelope(200, data=74.87)
        if request.url.path != _STATUS:
            self.violations.append(f"{request.method} {request.url}")
            return envelope(404)
        self.reads += 1
        sold = self.books.get(request.url.params["taskId"])
        if sold is None:
            return envelope(404)
        if odd := self.odd(sold):
            return _ODDITIES[odd]()
        return envelope(200, data=self._status(sold))

    def file(self, request: httpx.Request, number: int) -> httpx.Response:
        """Answer a GET to the host of the videos."""
        sold = self.books[request.url.path.split("/")[1]]
        code = self.serve(str(request.url), number)
        if self.world.now > sold.ends + _LIFETIME_SECONDS:
            code = 403
        if code != httpx.codes.OK:
            return httpx.Response(code)
        content = self.body(str(request.url), number)
        headers = {"Content-Length": str(len(content)), "Content-Type": "video/mp4", "ETag": f'"{number}"'}
        return httpx.Response(200, headers=headers, stream=_Body(content))

    def _status(self, sold: Sold) -> dict[str, object]:
        now = self.world.now
        data: dict[str, object] = {"taskId": sold.generation_id, "createTime": _unix_ms(sold.created)}
        if now < sold.ends:
            return {**data, "state": "pending" if now < sold.created + 5 else "processing"}
        data |= {"completeTime": _unix_ms(sold.ends), "costTime": int(sold.seconds_of_work * 1000)}
        if sold.fails:
            return {**data, "state": "failed", "failCode": sold.fails, "failMsg": "no"}
        urls = [f"{_FILES}/{sold.generation_id}/{link}.mp4" for link in range(self.links)]
        return {**data, "state": "success", "resultJson": json.dumps({"resultUrls": urls})}


def is_submission(request: httpx.Request) -> bool:
    """Return whether a request costs money."""
    return request.method == "POST" and request.url.path == _SUBMIT and request.url.host == "api.example"


def envelope(code: int, message: str = "", *, data: object = None) -> httpx.Response:
    """Return a response in the API's format."""
    return httpx.Response(code, json={"code": code, "message": message or "said", "data": data})


_ODDITIES: Mapping[str, Callable[[], httpx.Response]] = {
    "not found": lambda: envelope(404),
    "failure": lambda: envelope(503),
    "busy": lambda: envelope(429),
    "garbled": lambda: httpx.Response(200, text="<html>"),
    "no url": lambda: envelope(200, data={"state": "success", "resultJson": "{}"}),
}


class _Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


def _problem(body: Mapping[str, Any]) -> str:
    """Return what the API's contract does not allow in a submission."""
    known = {"request_type", "callback_url", "provider", "input"}
    if unknown := set(body) - known:
        return f"unknown fields {unknown}"
    if missing := _INPUT - set(body["input"]):
        return f"missing fields {missing}"
    is_callback = body.get("request_type") == "callback"
    return "" if is_callback == bool(body.get("callback_url")) else "callback_url does not fit"


def _unix_ms(seconds: float) -> int:
    return int((EPOCH.timestamp() + seconds) * 1000)
