"""The rules, policy and commands of `docs/how-to/s3.md`."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import BIN, ROOT, S3, environment, serving_s3

_EXAMPLE = ROOT / "examples/lighthouse"
_PAGE = (ROOT / "docs/how-to/s3.md").read_text(encoding="utf-8")


def _blocks(language: str, bucket: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)
    return [each.replace("BUCKET", bucket) for each in found]


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[S3]:
    """Run a separate S3 endpoint, since authentication applies to all of its clients."""
    (tmp_path / "s3").mkdir()
    with serving_s3(tmp_path / "s3") as s3:
        yield s3


def _keys(s3: S3, policy: str) -> dict[str, str]:
    """Create a user with the policy, and enable authentication."""
    with contextlib.closing(s3.client("iam")) as iam:
        iam.create_user(UserName="studio")
        iam.put_user_policy(UserName="studio", PolicyName="clips", PolicyDocument=policy)
        key = iam.create_access_key(UserName="studio")["AccessKey"]
    text = {"Content-Type": "text/plain"}
    httpx.post(f"{s3.url}/moto-api/reset-auth", content=b"0", headers=text).raise_for_status()
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def test_guide_leads_to_clips(strict: S3, production_env: dict[str, str], tmp_path: Path) -> None:
    """The page's commands make a production with the page's policy, and are refused without it."""
    bucket = strict.bucket()
    rules, policy = _blocks("json", bucket)
    with contextlib.closing(strict.client()) as client:
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=json.loads(rules))
        for path in filter(Path.is_file, _EXAMPLE.rglob("*")):
            client.upload_file(str(path), bucket, f"boards/lighthouse/{path.relative_to(_EXAMPLE)}")
    commands = "".join(_blocks("bash", bucket))
    quick = commands.replace("produce ", "produce --first-poll 0.2 --poll-every 0.2 ")
    mine = {"PATH": f"{BIN}:{os.environ['PATH']}"}
    env = environment(
        tmp_path / "prefect", **production_env, **{**strict.env, **_keys(strict, policy), **mine}
    )

    def run(text: str, **more: str) -> subprocess.CompletedProcess[str]:
        command, variables = ["bash", "-euc", text], {**env, **more}
        return subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=180, check=False
        )

    ran = run(quick)
    unknown, reader = (run(commands.splitlines()[line], AWS_ACCESS_KEY_ID="AKIASTRANGER") for line in (1, 3))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "archived" in ran.stdout
    assert "3 made" in ran.stdout
    assert "3 reused" in ran.stdout
    assert unknown.returncode == 2
    assert "InvalidAccessKeyId" in unknown.stderr
    assert reader.returncode == 2
    assert "storyboard.yaml: Server returned non-2xx status code: 403 Forbidden (http" in reader.stderr
    assert "Check the name, and that the credentials permit reading" in reader.stderr
