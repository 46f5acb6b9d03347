"""The `prefect-seedance` command."""

import sys
import warnings
from collections.abc import Iterator, Sequence

from cyclopts import App, CycloptsError

from prefect_seedance import __version__
from prefect_seedance.cli.errors import complain, warn
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.streams import tolerant_output
from prefect_seedance.cli.usage import usage_message
from prefect_seedance.doors import Door, entered
from prefect_seedance.errors import SeedanceError

app = App(
    name="prefect-seedance",
    help="Turn storyboards into archived video clips: pay once, lose nothing.",
    version=__version__,
    version_flags=["--version", "-V"],
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)

_RENAMED = {"--first-look": "--first-poll", "--look-every": "--poll-every", "--min-seam": "--min-similarity"}
"""Options by their former names, which scripts may still use."""

# A command's module is imported when it is called, so only commands that need Prefect load it.
app.command("prefect_seedance.cli.demo:app", name="demo", help="Run an example without an account.")
app.command("prefect_seedance.cli.init:app", name="init", help="Write a first storyboard.")
app.command("prefect_seedance.cli.plan:app", name="plan", help="Show what a run would make, reuse and bill.")
app.command("prefect_seedance.cli.models:app", name="models", help="List the models and what they accept.")
app.command("prefect_seedance.cli.balance:app", name="balance", help="Show how much money is left.")
app.command(
    "prefect_seedance.cli.produce:app", name="produce", help="Make the missing clips of a storyboard."
)
app.command("prefect_seedance.cli.catalog:app", name="catalog", help="Make many storyboards on workers.")
app.command("prefect_seedance.cli.film:app", name="film", help="Join the clips of a production into a film.")
app.command("prefect_seedance.cli.report:app", name="report", help="Write the report page of a production.")
app.command(
    "prefect_seedance.cli.export:app",
    name="export",
    help="Copy clips and film to a folder, under their names.",
)
app.command("prefect_seedance.cli.open:app", name="open", help="Open the report page in a browser.")
app.command(
    "prefect_seedance.cli.ledger:app", name="ledger", help="List the submitted clips and their status."
)
app.command(
    "prefect_seedance.cli.resolve:app", name="resolve", help="Resolve a submission with an unknown outcome."
)
app.command(
    "prefect_seedance.cli.rescue:app", name="rescue", help="Archive paid clips that are not archived yet."
)
app.command("prefect_seedance.cli.deploy:app", name="deploy", help="Create or update Prefect deployments.")
app.command("prefect_seedance.cli.callbacks:app", name="callbacks", help="Run the callback receiver.")
app.command(
    "prefect_seedance.cli.serve_images:app",
    name="serve-images",
    help="Serve an archive's images to the API, without a bucket.",
)
app.command("prefect_seedance.sandbox.__main__:main", name="sandbox", help="Serve a stand-in for the API.")
app.register_install_completion_command(help="Install completion for this shell.")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        words: The command line; by default the process's own.
    """
    given = sys.argv[1:] if words is None else words
    if not sys.warnoptions:  # Pillow's warnings about an author's image have no remedy, and no line
        warnings.filterwarnings("ignore", module=r"PIL\.")
    is_json = "--json" in given
    with entered(Door.command), tolerant_output(json=is_json):
        words = list(_with_new_names(_help_last(given)))
        try:
            return app(words) or 0
        except (Exception, KeyboardInterrupt) as error:
            kind, message, code = _explained(error)
            if code == ExitCode.failed and "--verbose" in words:
                raise
            return complain(kind, message, code=code, json=is_json)


def _commands() -> Sequence[str]:
    return [name for name in app if not name.startswith("-")]


def _help_last(words: Sequence[str]) -> Sequence[str]:
    """Understand ``help`` and ``help plan``, as other commands do."""
    return [*words[1:], "--help"] if words[:1] == ["help"] else words


def _with_new_names(words: Sequence[str]) -> Iterator[str]:
    """Replace the former names of options, and say so."""
    for word in words:
        option, equals, value = word.partition("=")
        if option in _RENAMED:
            warn(f"{option} is now {_RENAMED[option]}")
        yield f"{_RENAMED.get(option, option)}{equals}{value}"


def _explained(error: BaseException) -> tuple[str, str, int]:
    """Return the kind of an error, its message, and the exit code."""
    match error:
        case CycloptsError():
            return "UsageError", usage_message(error, _commands()), ExitCode.setup
        case SeedanceError():
            return type(error).__name__, str(error), ExitCode.setup
        case KeyboardInterrupt():
            return "Interrupted", "Stopped before anything was submitted", ExitCode.interrupted
    return type(error).__name__, _unexpected(error), ExitCode.failed


def _unexpected(error: BaseException) -> str:
    text = str(error).strip() or "no message"
    return (
        f"This is a bug ({type(error).__name__}: {text}). Report it; "
        "if the command has --verbose, run it again with that option and include the traceback"
    )
