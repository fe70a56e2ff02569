"""Captions of representative patches: what they rest on, who may vote, what a generator adds, resuming."""

from __future__ import annotations

from pathlib import Path

import pytest

import slidelake
from slidelake.errors import UsageError
from slidelake.ingest.synthetic import synthesise
from slidelake.services.lake import Lake
from slidelake.services.tuning.data import DataRequest, Prompt, Reply, read_rows, verify_rows
from slidelake.services.tuning.data.captions import CaptionOptions, make_caption_data
from slidelake.services.tuning.data.patch_labels import read_labels
from slidelake.services.tuning.data.summarise import MOST_TOKENS
from slidelake.services.tuning.data.tokens import count_tokens
from tests.services.tuning.data.lakes import bytes_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Path]:
    """Four synthetic slides of two patients with their reports, and their labels."""
    folder = tmp_path_factory.mktemp("captions")
    synthesise(folder / "slides", slides=4, seed=0, size=1536)
    lake = slidelake.open(folder / "lake")
    lake.ingest(
        manifest=folder / "slides" / "manifest.csv", encoder="colour-histogram", workers=0, sync_index=False
    )
    lake.add_reports(folder / "slides" / "reports.csv", sync_index=False)
    return lake, folder / "slides" / "labels.csv"


def test_captions_and_questions_agree_with_the_labels_and_resolve(made: tuple[Lake, Path], tmp_path: Path):
    lake, table = made
    labels = read_labels(table)
    options = CaptionOptions(count=12, labels=labels, corrupted=1)
    request = DataRequest(tmp_path / "out", licence="CC0")
    counts = make_caption_data(lake, request, options)
    rows = list(read_rows(request.out))
    assert counts["by_task"].keys() == {"caption", "patch-vqa", "revise"}
    found = verify_rows(lake, rows, folder=request.out)
    assert found.resolved == found.rows == len(rows)
    known = 0
    for row in rows:
        [place] = row.images
        label = labels.get((place.slide_id, place.x, place.y))
        assert row.licence == "CC0"
        assert row.slide_id == place.slide_id
        if row.task == "caption":
            assert count_tokens(row.answer) <= MOST_TOKENS
            if label:
                known += 1
                assert label in row.answer.lower()
        elif row.made_by.get("topic") == "tissue":
            assert label, "what only neighbours say is never asked about"
            if row.choices == ("yes", "no"):
                assert (row.answer == "yes") == (label in row.question)
            else:
                assert row.answer.removeprefix(row.answer[:3]) == label or row.answer == label
    assert known >= 5
    # Nothing is made again, and a run that lost a shard ends with the same bytes.
    before = bytes_of(request.out)
    next((request.out / "steps" / "caption").glob("*.jsonl")).unlink()
    (request.out / "rows.jsonl").unlink()
    make_caption_data(lake, request, options)
    assert bytes_of(request.out) == before


class Liar:
    """Says the findings, and one more that nothing holds."""

    name = "liar"

    def write(self, prompt: Prompt) -> Reply:
        told = [line.removeprefix("- ") for line in prompt.user.splitlines()[1:]]
        return Reply(" ".join([*told, "Cartilage is seen beside keratin pearls."]))


def test_what_a_generator_adds_is_taken_out_again(made: tuple[Lake, Path], tmp_path: Path):
    from slidelake.services.tuning.data.captions import _cohort, _Slide, rows_of_slide

    lake, table = made
    options = CaptionOptions(count=24, labels=read_labels(table), pictures=False)
    space = lake.store.resolve_space("colour-histogram")
    catalog = lake.store.catalog()
    slides = [_Slide(*ids, space) for ids in zip(catalog["slide_id"], catalog["patient_id"], strict=True)]
    cohort = _cohort(lake, slides, options, DataRequest(tmp_path / "out"))
    captions, removed = [], 0
    for slide in slides:
        rows, dropped = rows_of_slide(lake, slide, cohort, options, seed=0, pixels=None, writer=Liar())
        captions += [row for row in rows if row.task == "caption"]
        removed += dropped["sentence-not-held"]
    assert captions
    assert removed == len(captions)
    for row in captions:
        assert "artilage" not in row.answer
        assert row.made_by["generator"] == "liar"
        assert row.evidence[-1].kind == "answer"


def test_a_lake_without_features_is_refused(tmp_path: Path):
    lake = slidelake.open(tmp_path / "lake")
    with pytest.raises(UsageError, match="no slide of the lake has features"):
        make_caption_data(lake, DataRequest(tmp_path / "out"), CaptionOptions())
