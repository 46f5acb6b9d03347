"""Processes for end-to-end tests: Prefect's server, the sandbox, an S3 endpoint and the command."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from PIL import Image
from werkzeug.serving import make_ssl_devcert

from tests.forking import Forked, can_fork

KEY = "sandbox-key-for-journeys"
BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]

_SERVER_START_SECONDS = 300.0
"""Prefect's server starts in 5 to 20 s, and takes minutes beside many other programs on two cores."""

_HTTP = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
"""For all requests: a new client for each would load all certificates. It leaves no connection open."""

_RECORDER = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"
_BATCHES = {
    f"{_RECORDER}_READ_BATCH_SIZE": "50",
    f"{_RECORDER}_BATCH_SIZE": "50",
    f"{_RECORDER}_FLUSH_INTERVAL": "1",  # it rounds down, and zero is a busy loop
}
"""By default Prefect's server stores each change of a task run on its own, for a third of its CPU time."""

_STOP_SECONDS = 10.0
_COMMAND_SECONDS = 120.0

SHOTS = {"dawn": "#f2b48c", "noon": "#8cc8f2", "dusk": "#c06a8c"}
"""The colour of each storyboard image, by name."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment without the developer's own Prefect settings and account."""
    foreign = ("PREFECT_", "SEEDANCE_", "AWS_", "PYTEST_", "COLUMNS", "FORCE_COLOR", "NO_COLOR")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    quiet = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    return {**inherited, **quiet, **more}


def read_help(command: str, *, columns: int) -> str:
    """Return the help page of a command, from a process: a console keeps the width it started with."""
    arguments = [str(BIN / "prefect-seedance"), command, "--help"]
    env = {**os.environ, "COLUMNS": str(columns)}
    return subprocess.run(arguments, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout


@contextlib.contextmanager
def running(*command: object, env: Mapping[str, str], **options: object) -> Iterator[subprocess.Popen[str]]:
    """Run a process in its own session, and kill the whole session at the end."""
    with _held(subprocess.Popen, list(map(str, command)), env=env, **options) as process:
        yield process


@contextlib.contextmanager
def forking(*command: object, env: Mapping[str, str], **options: object) -> Iterator[subprocess.Popen[str]]:
    """Run a process like `running`, but fork it, where possible, from one that has imported the package."""
    words = list(map(str, command))
    with _held(Forked if can_fork(words, env) else subprocess.Popen, words, env=env, **options) as process:
        yield process


@contextlib.contextmanager
def _held(
    kind: type[subprocess.Popen[str]], words: Sequence[str], **options: object
) -> Iterator[subprocess.Popen[str]]:
    process = kind(
        words,
        text=True,
        start_new_session=True,
        **{"stdin": subprocess.DEVNULL, **options},  # type: ignore[call-overload]  # Popen's own options
    )
    with process:  # waits for its end when left, so it must be the outer block
        try:
            yield process
            _stop(process)
        finally:
            _kill_session(process)


def forked(
    *command: object, env: Mapping[str, str], cwd: Path, seconds: float = _COMMAND_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Fork a Python process, and return it with its output when it has exited."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with forking(*command, env=env, cwd=cwd, **pipes) as process:
        out, err = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _stop(process: subprocess.Popen[str]) -> None:
    """Send SIGTERM to a process, and wait for it to exit."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)


def _kill_session(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """Return a port that is currently free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def empty_prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an empty database, created once for all: that takes half of a start."""
    own = tmp_path_factory.getbasetemp()
    home = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "empty-prefect-database"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "is-complete").exists():
            home.mkdir(exist_ok=True)
            command = [str(BIN / "prefect"), "server", "database", "upgrade", "--yes"]
            subprocess.run(command, env=environment(home), check=True, capture_output=True)
            (home / "is-complete").touch()
    return home


@pytest.fixture(scope="session")
def prefect_server_home(tmp_path_factory: pytest.TempPathFactory, empty_prefect_database: Path) -> Path:
    """Return the folder of the Prefect server's database."""
    return shutil.copytree(empty_prefect_database, tmp_path_factory.mktemp("prefect") / "server")


@pytest.fixture(scope="session")
def prefect_server(prefect_server_home: Path) -> Iterator[str]:
    """Run one Prefect server for all tests, with its own database, and return its API URL."""
    with serving_prefect(prefect_server_home) as url:
        yield url


@contextlib.contextmanager
def serving_prefect(home: Path, *options: str, **variables: str) -> Iterator[str]:
    """Run a Prefect server with its database in a folder, and yield its API URL.

    Args:
        home: The folder.
        options: Of the command.
        variables: More environment variables, such as that of another database.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    with (home / "server.log").open("w+") as log:
        command = (BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", port, *options)
        output = {"stdout": log, "stderr": subprocess.STDOUT}
        env = environment(home, PREFECT_UI_API_URL=url, **_BATCHES, **variables)
        with running(*command, env=env, cwd=home, **output) as process:
            _wait_until_ready(f"{url}/health", process, name="The Prefect server", log=Path(log.name))
            yield url


class PatientTransport(httpx.HTTPTransport):
    """Repeats requests that Prefect's server refuses while its database is busy, as Prefect's client does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request until the server is not busy."""
        latest = time.monotonic() + _SERVER_START_SECONDS
        while (response := super().handle_request(request)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
            if time.monotonic() > latest:
                break
            response.close()
            time.sleep(0.5)
        return response


def prefect_client(url: str) -> httpx.Client:
    """Return a client of the API of Prefect's server."""
    return httpx.Client(base_url=url, timeout=60, transport=PatientTransport())


def undeploy(server: httpx.Client) -> None:
    """Delete all deployments and automations, which would act on those of other tests."""
    for kind in ("deployments", "automations"):
        for each in server.post(f"/{kind}/filter", json={}).raise_for_status().json():
            server.delete(f"/{kind}/{each['id']}").raise_for_status()


def _wait_until_ready(
    url: str, process: subprocess.Popen[str], *, name: str, log: Path, verify: ssl.SSLContext | bool = True
) -> None:
    latest = time.monotonic() + _SERVER_START_SECONDS
    with httpx.Client(timeout=5, verify=verify) as http:
        while time.monotonic() < latest and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if http.get(url).is_success:
                    return
            time.sleep(0.2)
    pytest.fail(f"{name} did not start:\n{log.read_text()}")


@dataclass(frozen=True)
class S3:
    """An S3 endpoint in its own process.

    Attributes:
        url: The endpoint.
        env: The environment variables for obstore and boto3.
        certificate: The certificate to trust, if it uses TLS.
    """

    url: str
    env: Mapping[str, str]
    certificate: Path | None = None

    def client(self, service: str = "s3") -> Any:  # noqa: ANN401 -- boto3 creates its classes at run time
        """Create a boto3 client, to check the contents independently of obstore."""
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 -- no types; slow, and few tests need it

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=self.env["AWS_REGION"],
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            verify=self.certificate and str(self.certificate),
        )

    def bucket(self, name: str = "") -> str:
        """Create an empty bucket and return its name."""
        name = name or f"clips-{secrets.token_hex(6)}"
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name)
        return name

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Return the objects in a bucket, by key."""
        with contextlib.closing(self.client()) as client:
            found = {}
            for key in [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", ())]:
                with contextlib.suppress(
                    client.exceptions.NoSuchKey
                ):  # a probe object, deleted in the meantime
                    found[key] = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            return found

    def remove(self, bucket: str) -> None:
        """Delete a bucket with its contents."""
        with contextlib.closing(self.client()) as client:
            for each in client.list_objects_v2(Bucket=bucket).get("Contents", ()):
                client.delete_object(Bucket=bucket, Key=each["Key"])
            client.delete_bucket(Bucket=bucket)

    def unfinished(self, bucket: str) -> int:
        """Count the multipart uploads that are neither completed nor aborted."""
        with contextlib.closing(self.client()) as client:
            return len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """Run one S3 endpoint for all tests."""
    with serving_s3(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@contextlib.contextmanager
def serving_s3(home: Path, *, tls: bool = False) -> Iterator[S3]:
    """Run an S3 endpoint with its log, and with TLS its certificate, in a folder."""
    port = free_port()
    files = make_ssl_devcert(str(home / "s3"), host="localhost") if tls else ()
    certificate = Path(files[0]) if files else None
    url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    verify = ssl.create_default_context(cafile=certificate) if certificate else True
    with (home / "moto.log").open("w+") as log:
        command = (sys.executable, "-m", "tests.s3_endpoint", port, *files)
        output = {"stdout": log, "stderr": subprocess.STDOUT}
        with running(*command, env=environment(home), cwd=ROOT, **output) as process:
            name, ready = "The S3 endpoint", f"{url}/moto-api/data.json"
            _wait_until_ready(ready, process, name=name, log=Path(log.name), verify=verify)
            yield S3(url, aws(url), certificate)


def aws(url: str) -> dict[str, str]:
    """Return the environment variables that configure obstore and boto3 for an endpoint."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass(frozen=True)
class Sandbox:
    """A sandbox in its own process."""

    url: str
    process: subprocess.Popen[str]
    key: str = KEY

    @property
    def hosted(self) -> str:
        """The base URL of the folder that it serves."""
        return f"{self.url}/hosted/"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables for a command that uses it."""
        return {"SEEDANCE_BASE_URL": self.url, "SEEDANCE_API_KEY": self.key}

    def books(self) -> dict[str, Any]:
        """Return its books."""
        return dict(_HTTP.get(f"{self.url}/sandbox/books").raise_for_status().json())

    def totals(self) -> dict[str, int]:
        """Return the totals of its books."""
        return dict(self.books()["totals"])

    def rules(self) -> list[dict[str, Any]]:
        """Return the active fault rules, and how often each has triggered."""
        return list(_HTTP.get(f"{self.url}/sandbox/faults").raise_for_status().json()["rules"])

    def original(self, generation_id: str) -> bytes:
        """Download a video from the mirror, which has no faults."""
        return _HTTP.get(f"{self.url}/mirror/{generation_id}-1.mp4").raise_for_status().content

    def faults(self, *rules: Mapping[str, object]) -> None:
        """Replace the fault rules."""
        _HTTP.put(f"{self.url}/sandbox/faults", json={"rules": rules}).raise_for_status()


@contextlib.contextmanager
def sandboxes(home: Path) -> Iterator[Callable[..., Sandbox]]:
    """Yield a function that starts a sandbox; its options are those of the command, with underscores."""
    with ExitStack() as stack:

        def start(**options: object) -> Sandbox:
            chosen = {"port": 0, "api_key": KEY, "speed": 100, "frame_rate": 4, **options}
            arguments = [word for name, value in chosen.items() for word in (_option(name), value)]
            command = (sys.executable, "-m", "prefect_seedance.sandbox", *arguments)
            sandbox = forking(*command, env=environment(home), stdout=subprocess.PIPE)
            process = stack.enter_context(sandbox)
            assert process.stdout is not None
            return Sandbox(url=process.stdout.readline().split()[-1], process=process)

        yield start


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Return the function of `sandboxes`."""
    with sandboxes(tmp_path) as start:
        yield start


CALLBACK_SECRET = "of-runs-and-receiver-alike-0123456789"


@dataclass(frozen=True)
class Receiver:
    """A callback receiver in its own process."""

    url: str
    port: int
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def receiving(
    archive: object, *options: object, env: Mapping[str, str], port: int = 0, stderr: IO[str] | None = None
) -> Iterator[Receiver]:
    """Run a receiver for an archive, with the account in the environment."""
    arguments = ("callbacks", "--archive", archive, "--port", port, "--json", *options)
    output = {"stdout": subprocess.PIPE, "stderr": stderr}
    with forking(BIN / "prefect-seedance", *arguments, env=env, **output) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["address"]
        yield Receiver(url=url, port=int(url.rpartition(":")[2]), process=process)


@pytest.fixture
def start_receiver(tmp_path: Path, sandbox: Sandbox) -> Iterator[Callable[..., Receiver]]:
    """Return a function that starts a receiver for an archive, with the sandbox's account."""
    with ExitStack() as stack:

        def start(
            archive: object, *options: object, port: int = 0, env: Mapping[str, str] | None = None
        ) -> Receiver:
            settings = {**sandbox.env, "SEEDANCE_CALLBACK_SECRET": CALLBACK_SECRET, **(env or {})}
            variables = environment(tmp_path / "receiver", **settings)
            return stack.enter_context(receiving(archive, *options, port=port, env=variables))

        yield start


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return an empty archive folder, with an images folder for the sandbox to serve."""
    folder = tmp_path / "archive"
    (folder / "images").mkdir(parents=True)
    return folder


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder by relative path, also while a process writes and deletes some."""
    found = {}
    for parent, _, names in os.walk(folder):  # skips a folder that is deleted meanwhile
        for path in (Path(parent, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


@dataclass(frozen=True)
class Place:
    """An archive of either kind.

    Attributes:
        name: Its name on the command line.
        options: Options of `produce` with which the API can download the images.
        env: The environment variables with which a command can access it.
    """

    name: str
    options: tuple[object, ...]
    env: Mapping[str, str]
    contents: Callable[[], dict[str, bytes]]
    """Returns the stored objects, by key."""


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    """Return an empty archive: a folder whose images the sandbox serves, or a bucket with signed URLs."""
    return request.getfixturevalue(f"_{request.param}")  # type: ignore[no-any-return]  # pytest returns Any


@pytest.fixture
def _folder(archive: Path, sandbox: Sandbox) -> Place:
    return Place(str(archive), ("--images-url", sandbox.hosted), {}, lambda: contents_of(archive))


@pytest.fixture
def _bucket(s3: S3) -> Place:
    bucket = s3.bucket()
    return Place(f"s3://{bucket}", (), s3.env, lambda: s3.contents(bucket))


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox], archive: Path) -> Sandbox:
    """Run a fast sandbox that serves the archive's images."""
    return start_sandbox(serve=archive / "images")


def write_board(folder: Path) -> Path:
    """Write a storyboard of three images, for two clips of 4 s, and return the file."""
    folder.mkdir()
    for name, colour in SHOTS.items():
        Image.new("RGB", (864, 486), colour).save(folder / f"{name}.png")
    *starts, end = SHOTS
    shots = "".join(f"  - {{image: {name}.png, prompt: drifting clouds after {name}}}\n" for name in starts)
    text = f"title: Test board\ndefaults: {{resolution: 480p, aspect_ratio: '16:9'}}\nshots:\n{shots}"
    text += f"  - {{image: {end}.png}}\n"
    (folder / "board.yaml").write_text(text, encoding="utf-8")
    return folder / "board.yaml"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Return the storyboard of `write_board`."""
    return write_board(tmp_path / "board")


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def start_cli(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts `prefect-seedance` with its output piped."""
    with ExitStack() as stack:

        def start(*arguments: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
            variables = environment(tmp_path / "prefect", **(env or {}))
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            command = forking(BIN / "prefect-seedance", *arguments, env=variables, cwd=tmp_path, **pipes)
            return stack.enter_context(command)

        yield start


@pytest.fixture
def run_cli(start_cli: Callable[..., subprocess.Popen[str]]) -> Command:
    """Return a function that runs `prefect-seedance` until it exits."""

    def run(*arguments: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        process = start_cli(*arguments, env=env)
        out, err = process.communicate(timeout=_COMMAND_SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run


@pytest.fixture
def production_env(prefect_server: str, sandbox: Sandbox) -> dict[str, str]:
    """Return the environment of a production: the Prefect server and the sandbox's account."""
    return {"PREFECT_API_URL": prefect_server, **sandbox.env}
