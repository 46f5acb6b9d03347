"""The command that serves a sandbox: `python -m prefect_seedance.sandbox`."""

import signal
import sys
from typing import Annotated

from cyclopts import App, Parameter

from prefect_seedance.sandbox.options import Settings

app = App(
    name="python -m prefect_seedance.sandbox", help="Serve a stand-in for the Seedance API.", version_flags=[]
)


_DEFAULTS = Settings()


@app.default
def main(settings: Annotated[Settings, Parameter(name="*")] = _DEFAULTS) -> None:
    """Serve a stand-in for the Seedance API until it is interrupted."""
    # Imported late, so that help texts and option errors appear without delay.
    from prefect_seedance.sandbox.server import serve  # noqa: PLC0415 -- see above

    try:
        serve(settings)
    except (OSError, ValueError) as error:
        sys.exit(f"The sandbox cannot start: {error}")


if __name__ == "__main__":
    # Ctrl-C during the imports must end the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    app()
