"""Plans: what they may say, and which request meets which rule."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from prefect_seedance.sandbox.faults import Faults, PlanError, Subject, load_plan, read_plan
from prefect_seedance.sandbox.faults.table import FAULTS
from tests.sandbox.conftest import Caller


def strikes(rule: dict[str, object], *subjects: Subject, seed: int = 0) -> Sequence[bool]:
    """Return at which of the subjects the rule strikes."""
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
    """A plan that is wrong says where, what, and what would be right."""
    with pytest.raises(PlanError) as caught:
        read_plan(plan)

    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("content", [b"rules: [", b"\xff\xfe\x00"])
def test_bad_file_named(tmp_path: Path, content: bytes) -> None:
    """A file that is no YAML is a plan's mistake like any other."""
    (tmp_path / "plan.yaml").write_bytes(content)

    with pytest.raises(PlanError, match="not YAML"):
        load_plan(tmp_path / "plan.yaml")


def test_yaml_plan_read(tmp_path: Path) -> None:
    """YAML and JSON plans have one shape."""
    (tmp_path / "plan.yaml").write_text("rules:\n- kind: status\n  fault: drop\n  times: 2\n")

    faults = Faults(load_plan(tmp_path / "plan.yaml"), seed=0)

    assert faults.report() == {"rules": [{"kind": "status", "times": 2, "fault": "drop", "struck": 0}]}


def test_every_fault_documented() -> None:
    """Every fault in the table says what it does."""
    faults = [fault for by_name in FAULTS.values() for fault in by_name.values()]

    assert all(fault.__doc__ for fault in faults)
    assert len(faults) > 40


def test_kind_chosen() -> None:
    """A rule strikes its own kind of request only."""
    subjects = [Subject("submit"), Subject("status"), Subject("file")]

    assert strikes({"kind": "status", "fault": "drop"}, *subjects) == [False, True, False]


def test_nth_chosen() -> None:
    """A rule can strike the third match alone."""
    assert strikes({"kind": "status", "fault": "drop", "nth": 3}, *reads(5)) == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_first_ones_chosen() -> None:
    """A rule can strike the first two matches."""
    assert strikes({"kind": "status", "fault": "drop", "times": 2}, *reads(4)) == [True, True, False, False]


def test_each_clip_counted() -> None:
    """Ordinals can count for each clip by itself."""
    subjects = [*reads(2, "the sea"), *reads(2, "the moon")]

    together = strikes({"kind": "status", "fault": "drop", "nth": 1}, *subjects)
    apart = strikes({"kind": "status", "fault": "drop", "nth": 1, "each_clip": True}, *subjects)

    assert together == [True, False, False, False]
    assert apart == [True, False, True, False]


def test_clip_chosen() -> None:
    """A rule can strike clips whose prompt holds a word, and counts no others."""
    subjects = [*reads(1, "the sea"), *reads(1, "the moon"), *reads(1, "moonlight")]

    assert strikes({"kind": "status", "fault": "drop", "clip": "moon", "nth": 2}, *subjects) == [
        False,
        False,
        True,
    ]


def test_share_drawn() -> None:
    """A share strikes about that often, the same way for one seed, and another way for another."""
    rule = {"kind": "status", "fault": "drop", "share": 0.25}

    drawn = strikes(rule, *reads(1000))

    assert 200 < sum(drawn) < 300
    assert drawn == strikes(rule, *reads(1000))
    assert drawn != strikes(rule, *reads(1000), seed=1)


def test_share_of_broken_text() -> None:
    """A prompt that is no proper text can be drawn too."""
    assert strikes({"kind": "submit", "fault": "drop", "share": 1.0}, Subject("submit", "\ud800")) == [True]


def test_share_ignores_order() -> None:
    """What is drawn for a clip does not depend on the clips that come between."""
    rule = {"kind": "status", "fault": "drop", "share": 0.5}
    mixed = [
        subject for pair in zip(reads(50, "the sea"), reads(50, "the moon"), strict=True) for subject in pair
    ]

    assert strikes(rule, *mixed)[::2] == strikes(rule, *reads(50, "the sea"))


def test_window_since_acceptance() -> None:
    """A rule can strike while a generation has a certain age, and not where there is none."""
    rule = {"kind": "status", "fault": "drop", "since": "acceptance", "after_seconds": 1, "until_seconds": 2}
    subjects = [Subject("status", age_seconds=age) for age in (0.5, 1.0, 1.9, 2.0, None)]

    assert strikes(rule, *subjects) == [False, True, True, False, False]


def test_state_chosen() -> None:
    """A rule can strike in one state, and a fault that shows in one state waits for it."""
    subjects = [Subject("status", state=state) for state in ("pending", "processing", "success", "failed")]

    assert strikes({"kind": "status", "fault": "drop", "state": "failed"}, *subjects) == [
        False,
        False,
        False,
        True,
    ]
    assert strikes({"kind": "status", "fault": "no-urls", "nth": 1}, *subjects) == [False, False, True, False]


def test_first_rule_decides() -> None:
    """Of two rules that match, the first strikes and the second does not count."""
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
    assert [rule.struck for rule in faults.rules] == [1, 1]


async def test_faults_scripted_over_http(there: Caller) -> None:
    """A plan can be put, read with what it did, and taken away while the sandbox runs."""
    rule = {"kind": "status", "fault": "answer", "status": 500, "times": 1}

    await there.script(rule)
    task_id = await there.submit()
    codes = [(await there.read(task_id)).status_code for _ in range(2)]
    report = (await there.http.get("/sandbox/faults")).json()
    cleared = (await there.http.delete("/sandbox/faults")).json()

    assert codes == [500, 200]
    assert report == {"rules": [{**rule, "struck": 1}]}
    assert cleared == {"rules": []}


async def test_reset_counts_anew(there: Caller) -> None:
    """After a reset the rules are still in force, and count from the beginning."""
    await there.script({"kind": "status", "fault": "answer", "status": 500, "times": 1})
    codes = [(await there.read("task_unknown")).status_code for _ in range(2)]

    await there.http.post("/sandbox/reset")
    codes += [(await there.read("task_unknown")).status_code]

    assert codes == [500, 404, 500]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"rules": [{"kind": "submit", "fault": "explode"}]}'])
async def test_bad_plan_refused(there: Caller, content: bytes) -> None:
    """A plan that cannot be understood is 400 and leaves the old one in force."""
    await there.script({"kind": "status", "fault": "drop"})

    answer = await there.http.put("/sandbox/faults", content=content)

    assert answer.status_code == 400
    assert answer.json()["message"]
    assert len((await there.http.get("/sandbox/faults")).json()["rules"]) == 1
