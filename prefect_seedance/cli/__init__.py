"""The `prefect-seedance` command."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from prefect_seedance import __version__
from prefect_seedance.cli.errors import complain
from prefect_seedance.cli.printing import fall_silent
from prefect_seedance.errors import SeedanceError

app = App(
    name="prefect-seedance",
    help="Turn storyboards into archived video clips: pay once, lose nothing.",
    version=__version__,
    version_flags=["--version"],
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)

# Commands are imported when they are called: only those that need Prefect pay for loading it.
app.command("prefect_seedance.cli.demo:app", name="demo", help="See it work, without an account.")
app.command("prefect_seedance.cli.plan:app", name="plan", help="Say what would be made, reused and billed.")
app.command("prefect_seedance.cli.produce:app", name="produce", help="Make the clips that are missing.")
app.command("prefect_seedance.cli.film:app", name="film", help="Join the clips of a production to a film.")
app.command("prefect_seedance.cli.report:app", name="report", help="Write the page that shows a production.")
app.command("prefect_seedance.cli.open:app", name="open", help="Open that page in a browser.")
app.command("prefect_seedance.cli.ledger:app", name="ledger", help="List what an archive was asked to hold.")
app.command("prefect_seedance.cli.resolve:app", name="resolve", help="Say what became of a submission.")
app.command("prefect_seedance.cli.callbacks:app", name="callbacks", help="Be told what has ended.")
app.command("prefect_seedance.sandbox.__main__:main", name="sandbox", help="Serve a stand-in for the API.")

UNEXPECTED = 1
SETUP = 2
INTERRUPTED = 130
"""As shells say it: stopped by a signal before anything was begun."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        words: The command line; by default the process's own.
    """
    words = sys.argv[1:] if words is None else words
    try:
        return app(words) or 0
    except BrokenPipeError:
        fall_silent(sys.stdout)
        return UNEXPECTED
    except (Exception, KeyboardInterrupt) as error:
        kind, message, code = _explained(error)
        if code == UNEXPECTED and "--verbose" in words:
            raise
        return complain(kind, message, code=code, json="--json" in words)


def _explained(error: BaseException) -> tuple[str, str, int]:
    """Return what to call an error, what to say of it, and the exit code."""
    match error:
        case CycloptsError():
            return "UsageError", _usage(error), SETUP
        case SeedanceError():
            return type(error).__name__, str(error), SETUP
        case KeyboardInterrupt():
            return "Interrupted", "Stopped before anything was begun", INTERRUPTED
    return type(error).__name__, _unexpected(error), UNEXPECTED


def _usage(error: CycloptsError) -> str:
    command = " ".join(("prefect-seedance", *(error.command_chain or ())))
    return f"{str(error).strip().rstrip('.')}. See {command} --help"


def _unexpected(error: BaseException) -> str:
    said = str(error).strip() or "no message"
    return (
        f"This should not have happened ({type(error).__name__}: {said}). "
        "Run it again with --verbose to see where, and report it"
    )
