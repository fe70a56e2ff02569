"""Steps that can be killed: what is done stays, is not done twice, and is made again where its input changed."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slidelake.errors import DamagedStoreError, StoreFullError, UsageError
from slidelake.services.tuning.data import Item, Made, PatchPlace, Run
from slidelake.services.tuning.data.write import drop_other_images
from tests.services.tuning.data.lakes import bytes_of, row


def run_in(folder: Path, **changed: Any) -> Run:
    given = {"command": "test", "arguments": {"cap": 3}, "seed": 0} | changed
    return Run(folder, outputs=("rows.jsonl",), **given)


def items(count: int = 40, *, changed: int = -1) -> list[Item[int]]:
    return [Item(f"item-{n}", f"{n}!" if n == changed else str(n), n) for n in range(count)]


def test_a_step_goes_on_where_it_stopped(tmp_path: Path) -> None:
    worked: list[int] = []

    def work(number: int) -> Made:
        if number == 25 and len(worked) < 30:
            raise ValueError("the machine went down")
        worked.append(number)
        return Made([{"n": number}] if number % 2 else [], {} if number % 2 else {"even": 1})

    with pytest.raises(ValueError, match="went down"):
        run_in(tmp_path / "a").step("s", items(), work, shard=10)
    worked += [-1] * 10
    step = run_in(tmp_path / "a").step("s", items(), work, shard=10)
    assert worked.count(5) == 1
    assert worked.count(21) == 2  # its shard was not whole
    assert [record["n"] for record in step] == list(range(1, 40, 2))
    assert step.dropped == {"even": 20}
    assert step.items == 40
    run_in(tmp_path / "b").step("s", items(), work, shard=10)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_what_changed_is_made_again(tmp_path: Path) -> None:
    worked: list[int] = []

    def work(number: int) -> Made:
        worked.append(number)
        return Made([{"n": number}])

    first = run_in(tmp_path).step("s", items(), work, shard=10)
    worked.clear()
    second = run_in(tmp_path).step("s", items(changed=12), work, shard=10)
    assert worked == list(range(10, 20))
    assert first.inputs != second.inputs
    # A patient who is gone leaves nothing behind.
    third = run_in(tmp_path).step("s", items(10), work, shard=10)
    assert len(list(third)) == 10
    assert [path.name for path in sorted((tmp_path / "steps" / "s").glob("*.jsonl"))] == list(third.shards)


def test_workers_keep_the_order(tmp_path: Path) -> None:
    one = run_in(tmp_path / "one").step("s", items(), lambda n: Made([{"n": n}]))
    several = run_in(tmp_path / "several").step("s", items(), lambda n: Made([{"n": n}]), workers=4)
    assert list(one) == list(several)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "several")


def test_other_arguments_are_refused(tmp_path: Path) -> None:
    run_in(tmp_path).step("s", items(3), lambda n: Made([{"n": n}]))
    (tmp_path / "rows.jsonl").write_text("{}\n")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"cap was 3, now 4.*--overwrite"):
        run_in(tmp_path, arguments={"cap": 4})
    with pytest.raises(UsageError, match="seed was 0, now 1"):
        run_in(tmp_path, seed=1)
    run_in(tmp_path, arguments={"cap": 4}, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "notes.txt", "run.json"]
    assert json.loads((tmp_path / "run.json").read_text())["arguments"] == {"cap": 4}


def test_folders_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="no run of tune-data"):
        run_in(tmp_path, overwrite=True)
    (tmp_path / "run.json").write_text('{"kind": "else"}')
    with pytest.raises(UsageError, match="another program's"):
        run_in(tmp_path, overwrite=True)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match="not what tune-data writes"):
        run_in(tmp_path)


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    first, second = run_in(tmp_path), run_in(tmp_path)
    with first.held(), pytest.raises(UsageError, match="another process works"), second.held():
        pass
    with second.held():
        pass


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_in(tmp_path)
    calls: list[int] = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFullError, match=r"no space is left for .*000001-.*same command again"):
        run.step("s", items(), lambda n: Made([{"n": n}]), shard=10)
    assert len(list((tmp_path / "steps" / "s").iterdir())) == 1  # no half shard, no file aside
    assert len(list(run.step("s", items(), lambda n: Made([{"n": n}]), shard=10))) == 40


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    step = run_in(tmp_path).step("s", items(3), lambda n: Made([{"n": n}]))
    path = step.folder / step.shards[0]
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DamagedStoreError, match=r"line 3 of .*000000"):
        run_in(tmp_path).step("s", items(3), lambda n: Made([{"n": n}]))


def test_overwrite_takes_nothing_from_a_run_that_another_process_works_on(tmp_path: Path) -> None:
    first = run_in(tmp_path)
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "steps").mkdir(exist_ok=True)
    with first.held(), pytest.raises(UsageError, match="another process works"):
        run_in(tmp_path, overwrite=True)
    assert (tmp_path / "steps").is_dir()
    run_in(tmp_path, overwrite=True)
    assert not (tmp_path / "steps").exists()


def test_pictures_that_are_of_no_row_go(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("S0_0_0_8x8.jpg", "S1_0_0_8x8.jpg"):
        (tmp_path / "images" / name).write_bytes(b"x")
    place = PatchPlace("S0", 0, 0, 8, 8)
    drop_other_images(tmp_path, [replace(row("one"), images=(place,))])
    assert [each.name for each in (tmp_path / "images").iterdir()] == ["S0_0_0_8x8.jpg"]
