"""Serve a receiver of the API's callbacks."""

import asyncio
import json as jsons
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from prefect_seedance.cli import history as survey
from prefect_seedance.cli.job import Account, prepare_prefect
from prefect_seedance.cli.options import PLAIN, Archive, Json, Verbose
from prefect_seedance.cli.printing import show
from prefect_seedance.clips.records import Attempt
from prefect_seedance.errors import SetupError
from prefect_seedance.receiver import Receiver, create_app
from prefect_seedance.receiver.server import serve
from prefect_seedance.storage.store import Store

app = App(
    name="callbacks",
    default_parameter=PLAIN,
    help_epilogue="Its public address is what runs are told with --callback-url; runs and receiver share "
    "SEEDANCE_CALLBACK_SECRET. A callback is a hint: what became of a generation is asked of the API, and "
    "recorded in the archive. It ends at Ctrl-C or SIGTERM, and takes up what was left open when it starts.",
)


@app.default
def callbacks(
    *,
    archive: Archive,
    host: Annotated[str, Parameter(help="Address to listen on. [127.0.0.1]")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes any free one. [8080]")] = 8080,
    account: Account = Account(),
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Take callbacks until told to end, and say what each led to."""
    prepare_prefect(verbose=verbose)
    voice = _Voice(json=json)
    receiver, store = asyncio.run(_open(archive, account, voice))

    def listening(address: str) -> None:
        voice.say(
            "listening", f"Callbacks on {address} for {store.name}", address=address, archive=store.name
        )

    try:
        with voice.heard():
            serve(create_app(receiver), host=host, port=port, ready=listening)
    except OSError as error:
        raise SetupError(f"Cannot listen on {host}:{port}: {error.strerror}. Name another --port") from None
    voice.say("ended", "Ended; callbacks that are open are taken up at the next start")
    return 0


async def _open(archive: str, account: Account, voice: "_Voice") -> tuple[Receiver, Store]:
    from prefect_seedance.orchestration import reporting  # noqa: PLC0415 -- loads Prefect

    credentials = await account.found()
    secrets = credentials.callback_secrets()
    store = await survey.opened(archive)
    await store.probe()

    def announce(attempt: Attempt) -> None:
        reporting.generation_ended(attempt)
        voice.tell(attempt)

    client = credentials.get_client()
    return Receiver(store, client=client, secrets=secrets, announce=announce), store


class _Voice:
    """Says what happens, a line each: to people, or as JSON to programs."""

    def __init__(self, *, json: bool) -> None:
        self._json = json

    def say(self, event: str, words: str, **facts: object) -> None:
        now = datetime.now(UTC)
        if self._json:
            print(jsons.dumps({"at": now.isoformat(), "event": event, **facts}), flush=True)  # noqa: T201 -- a program reads it
        else:
            show(Text(f"{now.astimezone():%H:%M:%S}  {words}"))

    def tell(self, attempt: Attempt) -> None:
        """Say how an attempt ended."""
        if attempt.outcome is None:
            return
        intent, result = attempt.intent, str(attempt.outcome.result)
        why = f": {attempt.outcome.code}" if attempt.outcome.code else ""
        self.say(
            "ended generation",
            f"{intent.name}  {result}{why}  ({attempt.generation_id})",
            clip=intent.fingerprint,
            name=intent.name,
            attempt=intent.number,
            generation_id=attempt.generation_id,
            result=result,
            code=attempt.outcome.code,
        )

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Say what the receiver warns of, too."""
        log, handler = logging.getLogger("prefect_seedance.receiver"), _Handler(self)
        log.addHandler(handler)
        propagates, log.propagate = log.propagate, False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.propagate = propagates


class _Handler(logging.Handler):
    def __init__(self, voice: _Voice) -> None:
        super().__init__(logging.WARNING)
        self._voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        self._voice.say("warning", said, message=said)
