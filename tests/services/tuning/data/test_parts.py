"""Splits by patient, duplicates, the cap on text, the forms of a data set."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from slidelake.errors import UsageError
from slidelake.services.tuning.data import (
    Assembly,
    Duplicates,
    Item,
    Made,
    PatchPlace,
    PatientSplit,
    Run,
    TuningRow,
    check_splits,
    read_rows,
)
from slidelake.services.tuning.data.assemble import assemble
from slidelake.services.tuning.data.write import chat_form, llava_form
from slidelake.store.streaming import Splits
from tests.services.tuning.data.lakes import bytes_of, row


def test_patients_are_divided_by_hash() -> None:
    split = PatientSplit(seed=0)
    parts = Counter(split.of(f"patient-{n}") for n in range(5000))
    assert parts["train"] == pytest.approx(4000, rel=0.03)
    assert parts["val"] == pytest.approx(500, rel=0.15)
    assert split.of("TCGA-2F") == split.of("tcga-2f")
    assert any(split.of(f"p{n}") != PatientSplit(seed=1).of(f"p{n}") for n in range(20))


def test_splits_of_a_file(tmp_path: Path) -> None:
    table = pd.DataFrame({"slide_id": ["a", "b"], "patient_id": ["P0", "P1"], "split": ["train", "test"]})
    Splits.from_table(table).save(tmp_path / "splits.json")
    split = PatientSplit.load(tmp_path / "splits.json")
    assert (split.of("p0"), split.of("P1"), split.of("P2")) == ("train", "test", "")
    table["split"] = ["0", "1"]
    Splits.from_table(table).save(tmp_path / "folds.json")
    with pytest.raises(UsageError, match="divides into folds"):
        PatientSplit.load(tmp_path / "folds.json")


def test_leaks_are_refused() -> None:
    check_splits([row("a", split="train"), row("b", split="train"), row("c", patient="P1", split="test")])
    with pytest.raises(UsageError, match=r"patient p0 \(train and test\)"):
        check_splits([row("a", split="train"), row("b", split="test")])
    with pytest.raises(UsageError, match="slide s1"):
        check_splits([row("a", slide="S1", split="train"), row("b", patient="P1", slide="s1", split="val")])
    with pytest.raises(UsageError, match="in no split"):
        check_splits([row("a")])


def test_near_duplicates_are_found() -> None:
    seen = Duplicates(0.8)
    text = "The section shows sheets of clear cells with a delicate network of vessels and little atypia of the nuclei"
    assert seen.find("a", text) is None
    assert seen.find("b", text.upper() + ".") == ("exact", "a")
    assert seen.find("c", text + " seen") == ("near", "a")
    assert (
        seen.find("d", "Glands of irregular form lie back to back in a desmoplastic stroma with necrosis")
        is None
    )
    assert seen.find("e", text, group="another slide") is None
    assert seen.find("f", "Yes") is None
    assert seen.find("g", "No") is None
    assert seen.find("h", "yes.") == ("exact", "f")


def test_few_near_duplicates_are_missed() -> None:
    words = [f"word{n}" for n in range(60)]
    found = 0
    for n in range(60):
        seen = Duplicates(0.8)
        assert seen.find("a", " ".join(words)) is None
        found += seen.find("b", " ".join([*words[:n], "other", *words[n + 1 :]])) is not None
    assert found == 60  # 55 of 61 shingles are shared at least: 0.9


def _data_set(folder: Path, rows: list[TuningRow], plan: Assembly) -> dict[str, object]:
    run = Run(folder, command="test", arguments={}, seed=0, outputs=())
    items = [Item(str(n), each.id, each) for n, each in enumerate(rows)]
    return assemble(run, (run.step("rows", items, lambda each: Made([each.to_dict()])),), plan)


def test_the_cap_holds_for_every_slide(tmp_path: Path) -> None:
    rows = [row(f"{s}-{n}", patient=f"P{s}", slide=f"S{s}") for s in range(4) for n in range(10)]
    counts = _data_set(tmp_path / "a", rows, Assembly(PatientSplit(), rows_per_picture=3))
    assert counts["rows"] == 12
    assert counts["rows_per_picture"] == 3
    assert counts["dropped"] == {"assemble": {"over-cap": 28}}
    kept = list(read_rows(tmp_path / "a"))
    assert set(Counter(each.slide_id for each in kept).values()) == {3}
    _data_set(tmp_path / "b", rows, Assembly(PatientSplit(), rows_per_picture=3))
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_two_rows_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two rows"):
        _data_set(tmp_path, [row("a"), row("a")], Assembly(PatientSplit()))


def test_forms(tmp_path: Path) -> None:
    place = PatchPlace("S0", 512, 0, 512, 512, 1)
    patch = TuningRow(**{**vars(row("tumor", text="<image>\nWhat is it?")), "images": (place,)})
    counts = _data_set(
        tmp_path,
        [patch, row("b", slide="S0")],
        Assembly(PatientSplit(), picture=lambda _: b"jpeg", lance=True),
    )
    assert counts["pictures"] == 2
    name = "images/S0_512_0_512x512.jpg"
    assert (tmp_path / name).read_bytes() == b"jpeg"
    llava = {each["id"]: each for each in json.loads((tmp_path / "llava.json").read_text())}
    assert llava[patch.id]["image"] == name
    assert llava[patch.id]["conversations"][0] == {"from": "human", "value": "<image>\nWhat is it?"}
    chats = [json.loads(line) for line in (tmp_path / "chat.jsonl").read_text().splitlines()]
    said = next(each for each in chats if each["id"] == patch.id)["messages"]
    assert said[0]["content"][0] == {"type": "image_url", "image_url": {"url": name}}
    assert said[0]["content"][1] == {"type": "text", "text": "What is it?"}
    assert said[1] == {"role": "assistant", "content": "tumor"}
    table = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [each["images"] for each in table if each["id"] == patch.id] == [
        [{"path": name, "bytes": b"jpeg"}]
    ]
    import lancedb

    assert lancedb.connect(tmp_path).open_table("rows").count_rows() == 2
    for name in ("DATASET.md", "sheet.html"):
        assert "What is it?" in (tmp_path / name).read_text() or name == "DATASET.md"


def test_a_slide_row_names_its_features() -> None:
    about = row("a", slide="S3", text="<image>\nWhat is it?")
    assert llava_form(about)["slide"] == "S3"
    assert "image" not in llava_form(about)
    assert chat_form(about)["messages"][0]["content"] == "<image>\nWhat is it?"
