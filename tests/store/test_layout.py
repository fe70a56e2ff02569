"""Keys of commits, and what they alone say about a slide."""

from datetime import UTC, datetime, timedelta

import pytest

from slidelake.errors import UsageError
from slidelake.store import CommitKey, SlideState, Subject
from slidelake.store.layout import attempt_time, closed_key, new_attempt, states_of

GRID = "256px-0.5mpp"
GOLDEN = [
    (Subject("overview"), 1, 1, "commits/36/S1/0001~overview~000001.json"),
    (Subject("grid", GRID), 1, 1, "commits/36/S1/0001~grid~256px-0.5mpp~000001.json"),
    (
        Subject("bag", GRID, "uni2-h.3fa9c1d2"),
        1,
        12,
        "commits/36/S1/0001~bag~256px-0.5mpp~uni2-h.3fa9c1d2~000012.json",
    ),
    (
        Subject("pooled", GRID, "uni2-h.3fa9c1d2", "mean.00000000"),
        23,
        1234567,
        "commits/36/S1/0023~pooled~256px-0.5mpp~uni2-h.3fa9c1d2~mean.00000000~1234567.json",
    ),
]


@pytest.mark.parametrize(("subject", "epoch", "generation", "key"), GOLDEN)
def test_keys(subject: Subject, epoch: int, generation: int, key: str) -> None:
    commit = CommitKey("S1", epoch, subject, generation)
    assert commit.key == key
    assert CommitKey.parse(key) == commit


@pytest.mark.parametrize(
    "name",
    [
        "0001~closed.json",
        "0001~bag~256px-0.5mpp~000001.json",
        "0001~overview~x~000001.json",
        "0001~overview~1x.json",
        "one~overview~000001.json",
        "0001~photo~000001.json",
        "0001~overview~000001.json.part",
        ".DS_Store",
        "~~~.json",
    ],
)
def test_what_is_no_commit(name: str) -> None:
    assert CommitKey.parse(f"commits/36/S1/{name}") is None


def test_folders_of_attempts() -> None:
    assert [subject.folder("S1") for subject, *_ in GOLDEN] == [
        "slides/S1/overview",
        "slides/S1/grids/256px-0.5mpp",
        "slides/S1/bags/256px-0.5mpp/uni2-h.3fa9c1d2",
        "slides/S1/pooled/256px-0.5mpp/uni2-h.3fa9c1d2/mean.00000000",
    ]
    with pytest.raises(UsageError):
        Subject("grid", "a/b").folder("S1")


def test_the_latest_generation_of_the_open_epoch_counts() -> None:
    grid, bag = Subject("grid", GRID), Subject("bag", GRID, "e.00000000")
    keys = [
        *(CommitKey("S1", 1, bag, n).key for n in (1, 2, 1000000, 999999)),
        CommitKey("S1", 1, grid, 1).key,
        CommitKey("S2", 1, grid, 1).key,
        closed_key("S2", 1),
        CommitKey("S2", 2, grid, 1).key,
        CommitKey("S3", 1, grid, 1).key,
        closed_key("S3", 1),
        "commits/36/S1/.DS_Store",
    ]
    states = states_of(keys)
    assert list(states) == ["S1", "S2", "S3"]
    assert states["S1"].generation(bag) == 1000000
    assert states["S1"].generation(Subject("overview")) == 0
    assert states["S2"] == SlideState("S2", 2, {grid: CommitKey("S2", 2, grid, 1)})
    assert states["S3"] == SlideState("S3", 2, {})


def test_a_late_commit_in_a_closed_epoch_is_dead() -> None:
    bag = Subject("bag", GRID, "e.00000000")
    keys = [
        closed_key("S1", 1),
        closed_key("S1", 2),
        CommitKey("S1", 1, bag, 7).key,
        CommitKey("S1", 2, bag, 1).key,
    ]
    assert states_of(keys)["S1"] == SlideState("S1", 3, {})


def test_a_later_epoch_stands_without_the_marks_of_those_before() -> None:
    # gc may have removed them, while a writer that saw them was at work.
    bag = Subject("bag", GRID, "e.00000000")
    keys = [CommitKey("S1", 2, bag, 1).key, CommitKey("S1", 1, bag, 3).key]
    assert states_of(keys)["S1"] == SlideState("S1", 2, {bag: CommitKey("S1", 2, bag, 1)})
    assert states_of([*keys, closed_key("S1", 2)])["S1"] == SlideState("S1", 3, {})


def test_attempts_sort_by_time_and_tell_it() -> None:
    names = [new_attempt() for _ in range(200)]
    assert len(set(names)) == 200
    assert [name[:21] for name in names] == sorted(name[:21] for name in names)
    assert abs(attempt_time(f"slides/S1/overview/{names[0]}") - datetime.now(UTC)) < timedelta(minutes=5)
    assert attempt_time("20261121T105532068619Z-36354eff7a57") == datetime(
        2026, 11, 21, 10, 55, 32, 68619, UTC
    )
