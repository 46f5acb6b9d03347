"""Validation of fault plans, and selection of rules."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from prefect_seedance.sandbox.faults import Faults, PlanError, Subject, load_plan, read_plan
from prefect_seedance.sandbox.faults.table import FAULTS
from tests.sandbox.conftest import Client


def triggered(rule: dict[str, object], *subjects: Subject, seed: int = 0) -> Sequence[bool]:
    """Return for each subject whether the rule triggers."""
    faults = Faults(read_plan({"rules": [rule]}), seed=seed)
    return [faults.draw(subject) is faults.rules[0].fault for subject in subjects]


def reads(count: int, clip: str = "the sea") -> Sequence[Subject]:
    return [Subject("status", clip)] * count


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (None, ["mapping", "rules"]),
        ([], ["mapping", "rules"]),
        ({"rule": []}, ["rules"]),
        ({"rules": {}}, ["list"]),
        ({"rules": ["drop"]}, ["rule 1", "mapping"]),
        ({"rules": [{"fault": "drop"}]}, ["rule 1", "kind"]),
        ({"rules": [{"kind": "upload", "fault": "drop"}]}, ["rule 1", "kind"]),
        ({"rules": [{"kind": "submit"}]}, ["rule 1", "accept-then-drop"]),
        ({"rules": [{"kind": "submit", "fault": "dropp"}]}, ["rule 1", "dropp", "drop, hang"]),
        ({"rules": [{"kind": "file", "fault": "garbage"}]}, ["file", "garbage", "truncate"]),
        ({"rules": [{"kind": "submit", "fault": "drop", "resett": True}]}, ["resett", "reset"]),
        ({"rules": [{"kind": "submit", "fault": "drop", "reset": "yes"}]}, ["submit drop", "reset"]),
        ({"rules": [{"kind": "submit", "fault": "slow"}]}, ["submit slow", "seconds"]),
        ({"rules": [{"kind": "submit", "fault": "answer", "status": 200}]}, ["status", "400"]),
        ({"rules": [{"kind": "file", "fault": "truncate"}]}, ["at_byte", "at_share"]),
        ({"rules": [{"kind": "submit", "fault": "drop", "nth": 0}]}, ["nth"]),
        ({"rules": [{"kind": "submit", "fault": "drop", "share": 1.5}]}, ["share"]),
        ({"rules": [{"kind": "submit", "fault": "drop", "nth": 1, "times": 1}]}, ["nth", "times"]),
        ({"rules": [{"kind": "submit", "fault": "drop", "state": "success"}]}, ["state", "status"]),
        ({"rules": [{"kind": "submit", "fault": "drop", "since": "acceptance"}]}, ["since", "acceptance"]),
        ({"rules": [{"kind": "submit", "fault": "drop"}, {"kind": "x"}]}, ["rule 2"]),
    ],
    ids=str,
)
def test_bad_plan_named(plan: object, words: Sequence[str]) -> None:
    """The error of an invalid plan names the rule, the field and the expected value."""
    with pytest.raises(PlanError) as caught:
        read_plan(plan)

    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("content", [b"rules: [", b"\xff\xfe\x00"])
def test_bad_file_named(tmp_path: Path, content: bytes) -> None:
    """A plan that is not YAML raises a plan error."""
    (tmp_path / "plan.yaml").write_bytes(content)

    with pytest.raises(PlanError, match="not YAML"):
        load_plan(tmp_path / "plan.yaml")


def test_yaml_plan_parsed(tmp_path: Path) -> None:
    """A YAML plan has the same structure as a JSON plan."""
    (tmp_path / "plan.yaml").write_text("rules:\n- kind: status\n  fault: drop\n  times: 2\n")

    faults = Faults(load_plan(tmp_path / "plan.yaml"), seed=0)

    assert faults.report() == {"rules": [{"kind": "status", "times": 2, "fault": "drop", "triggered": 0}]}


def test_every_fault_documented() -> None:
    """Every fault in the table has a docstring."""
    faults = [fault for by_name in FAULTS.values() for fault in by_name.values()]

    assert all(fault.__doc__ for fault in faults)
    assert len(faults) > 40


def test_select_kind() -> None:
    """A rule triggers for requests of its own kind only."""
    subjects = [Subject("submit"), Subject("status"), Subject("file")]

    assert triggered({"kind": "status", "fault": "drop"}, *subjects) == [False, True, False]


def test_select_nth() -> None:
    """A rule can trigger for the third match only."""
    assert triggered({"kind": "status", "fault": "drop", "nth": 3}, *reads(5)) == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_select_first_matches() -> None:
    """A rule can trigger for the first two matches."""
    assert triggered({"kind": "status", "fault": "drop", "times": 2}, *reads(4)) == [True, True, False, False]


def test_count_each_clip() -> None:
    """A rule can count the matches of each clip separately."""
    subjects = [*reads(2, "the sea"), *reads(2, "the moon")]

    together = triggered({"kind": "status", "fault": "drop", "nth": 1}, *subjects)
    apart = triggered({"kind": "status", "fault": "drop", "nth": 1, "each_clip": True}, *subjects)

    assert together == [True, False, False, False]
    assert apart == [True, False, True, False]


def test_select_clip() -> None:
    """A rule can trigger for clips whose prompt contains a word, and counts these only."""
    subjects = [*reads(1, "the sea"), *reads(1, "the moon"), *reads(1, "moonlight")]

    assert triggered({"kind": "status", "fault": "drop", "clip": "moon", "nth": 2}, *subjects) == [
        False,
        False,
        True,
    ]


def test_select_share() -> None:
    """A rule triggers for about the given share, reproducibly for a seed."""
    rule = {"kind": "status", "fault": "drop", "share": 0.25}

    drawn = triggered(rule, *reads(1000))

    assert 200 < sum(drawn) < 300
    assert drawn == triggered(rule, *reads(1000))
    assert drawn != triggered(rule, *reads(1000), seed=1)


def test_share_of_lone_surrogate() -> None:
    """A share works for a prompt with a lone surrogate."""
    assert triggered({"kind": "submit", "fault": "drop", "share": 1.0}, Subject("submit", "\ud800")) == [True]


def test_share_ignores_order() -> None:
    """The draws for a clip do not depend on the other clips."""
    rule = {"kind": "status", "fault": "drop", "share": 0.5}
    mixed = [
        subject for pair in zip(reads(50, "the sea"), reads(50, "the moon"), strict=True) for subject in pair
    ]

    assert triggered(rule, *mixed)[::2] == triggered(rule, *reads(50, "the sea"))


def test_window_since_acceptance() -> None:
    """A rule can trigger for a range of ages, and never without a generation."""
    rule = {"kind": "status", "fault": "drop", "since": "acceptance", "after_seconds": 1, "until_seconds": 2}
    subjects = [Subject("status", age_seconds=age) for age in (0.5, 1.0, 1.9, 2.0, None)]

    assert triggered(rule, *subjects) == [False, True, True, False, False]


def test_select_state() -> None:
    """A rule can select a state, and some faults apply to certain states only."""
    subjects = [Subject("status", state=state) for state in ("pending", "processing", "success", "failed")]

    assert triggered({"kind": "status", "fault": "drop", "state": "failed"}, *subjects) == [
        False,
        False,
        False,
        True,
    ]
    assert triggered({"kind": "status", "fault": "no-urls", "nth": 1}, *subjects) == [
        False,
        False,
        True,
        False,
    ]


def test_first_rule_decides() -> None:
    """When two rules match, the first triggers and the second does not count."""
    faults = Faults(
        read_plan(
            {
                "rules": [
                    {"kind": "status", "fault": "drop", "times": 1},
                    {"kind": "status", "fault": "hang", "times": 1},
                ]
            }
        ),
        seed=0,
    )

    drawn = [faults.draw(subject) for subject in reads(3)]

    assert drawn[:2] == [rule.fault for rule in faults.rules]
    assert drawn[2] not in drawn[:2]
    assert [rule.triggered for rule in faults.rules] == [1, 1]


async def test_faults_scripted_over_http(api: Client) -> None:
    """A plan can be set, read with its counters, and removed while the sandbox runs."""
    rule = {"kind": "status", "fault": "answer", "status": 500, "times": 1}

    await api.script(rule)
    task_id = await api.submit()
    codes = [(await api.read(task_id)).status_code for _ in range(2)]
    report = (await api.http.get("/sandbox/faults")).json()
    cleared = (await api.http.delete("/sandbox/faults")).json()

    assert codes == [500, 200]
    assert report == {"rules": [{**rule, "triggered": 1}]}
    assert cleared == {"rules": []}


async def test_reset_restarts_counters(api: Client) -> None:
    """A reset keeps the rules and restarts their counters."""
    await api.script({"kind": "status", "fault": "answer", "status": 500, "times": 1})
    codes = [(await api.read("task_unknown")).status_code for _ in range(2)]

    await api.http.post("/sandbox/reset")
    codes += [(await api.read("task_unknown")).status_code]

    assert codes == [500, 404, 500]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"rules": [{"kind": "submit", "fault": "explode"}]}'])
async def test_bad_plan_refused(api: Client, content: bytes) -> None:
    """An invalid plan returns 400, and the previous one stays active."""
    await api.script({"kind": "status", "fault": "drop"})

    response = await api.http.put("/sandbox/faults", content=content)

    assert response.status_code == 400
    assert response.json()["message"]
    assert len((await api.http.get("/sandbox/faults")).json()["rules"]) == 1
