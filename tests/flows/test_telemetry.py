"""Spans of a production in a flow run."""

from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from prefect import flow

from prefect_seedance import Hosting, Manifest, Waiting, produce
from tests.flows.conftest import account
from tests.processes import Sandbox
from tests.recording import Recording


async def test_flow_run_is_one_trace(
    board: Path, archive: Path, sandbox: Sandbox, recording: Recording
) -> None:
    """Tasks of Prefect break no trace: all is below the run, and the run is below the flow."""

    @flow
    async def films() -> Manifest:
        return await produce(
            board,
            archive=str(archive),
            credentials=account(sandbox),
            hosting=Hosting(images_url=sandbox.hosted),
            waiting=Waiting(first_poll_seconds=0.3, poll_every_seconds=0.2),
        )

    manifest = await films()

    every = {span.context.span_id: span for span in recording.exporter.get_finished_spans()}

    def above(span: ReadableSpan) -> set[str]:
        parent = every.get(span.parent.span_id) if span.parent else None
        return {parent.name, *above(parent)} if parent else set()

    (run,) = recording.spans("run")
    assert run.parent
    assert {span.context.trace_id for span in recording.spans()} == {run.context.trace_id}
    assert all("seedance.run" in above(span) for span in recording.spans() if span is not run)
    assert len(recording.spans("clip")) == len(recording.spans("archive")) == len(manifest.clips)
    assert len(recording.spans("join")) == len(recording.spans("report")) == 1
