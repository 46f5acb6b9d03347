"""Run the callback receiver."""

import asyncio
import json as jsons
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from prefect_seedance.cli.archives import open_archive
from prefect_seedance.cli.options import PLAIN, Account, Archive, Verbose
from prefect_seedance.cli.printing import show
from prefect_seedance.cli.produce import configure_logs
from prefect_seedance.clips.records import Attempt
from prefect_seedance.errors import SetupError
from prefect_seedance.receiver import Receiver, create_app
from prefect_seedance.receiver.server import serve
from prefect_seedance.storage.store import Store

app = App(
    name="callbacks",
    default_parameter=PLAIN,
    help_epilogue="Pass the receiver's public URL to runs with --callback-url, and set the same "
    "SEEDANCE_CALLBACK_SECRET for runs and receiver. The receiver does not trust a callback: it reads the "
    "state from the API, and records the outcome in the archive. Ctrl-C or SIGTERM stops the receiver; the "
    "next start processes the callbacks that have no outcome yet.",
)


@app.default
def callbacks(
    *,
    archive: Archive,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 picks a free port.")] = 8080,
    account: Account = Account(),
    json: Annotated[bool, Parameter(help="Print each event as a JSON object, one per line.")] = False,
    verbose: Verbose = False,
) -> int:
    """Receive callbacks until stopped, and print the outcome of each generation."""
    configure_logs(verbose=verbose)
    output = _Output(json=json)
    receiver, store = asyncio.run(_open(archive, account, output))

    def listening(address: str) -> None:
        output.print(
            "listening",
            f"Receiving callbacks on {address} for {store.name}",
            address=address,
            archive=store.name,
        )

    try:
        with output.warnings():
            serve(create_app(receiver), host=host, port=port, ready=listening)
    except OSError as error:
        raise SetupError(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --port") from None
    output.print("ended", "Stopped; the next start processes the callbacks that have no outcome yet")
    return 0


async def _open(archive: str, account: Account, output: "_Output") -> tuple[Receiver, Store]:
    from prefect_seedance.orchestration import events  # noqa: PLC0415 -- loads Prefect

    credentials = await account.find()
    secrets = credentials.callback_secrets()
    store = await open_archive(archive)
    await store.probe()

    def on_outcome(attempt: Attempt) -> None:
        events.generation_ended(attempt)
        output.outcome(attempt)

    client = credentials.get_client()
    return Receiver(store, client=client, secrets=secrets, on_outcome=on_outcome), store


class _Output:
    """Prints events, a line each: for people, or as JSON for programs."""

    def __init__(self, *, json: bool) -> None:
        self._json = json

    def print(self, event: str, text: str, **facts: object) -> None:
        now = datetime.now(UTC)
        if self._json:
            print(jsons.dumps({"at": now.isoformat(), "event": event, **facts}), flush=True)  # noqa: T201 -- the command's output
        else:
            show(Text(f"{now.astimezone():%H:%M:%S}  {text}"))

    def outcome(self, attempt: Attempt) -> None:
        """Print the outcome of an attempt."""
        if attempt.outcome is None:
            return
        intent, result = attempt.intent, str(attempt.outcome.result)
        why = f": {attempt.outcome.code}" if attempt.outcome.code else ""
        self.print(
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
    def warnings(self) -> Iterator[None]:
        """Print the receiver's warnings too."""
        log, handler = logging.getLogger("prefect_seedance.receiver"), _Handler(self)
        log.addHandler(handler)
        propagates, log.propagate = log.propagate, False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.propagate = propagates


class _Handler(logging.Handler):
    def __init__(self, output: _Output) -> None:
        super().__init__(logging.WARNING)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self._output.print("warning", f"warning: {message}", message=message)
