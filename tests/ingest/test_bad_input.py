"""What cannot go in has a reason and a remedy, and stops nothing."""

import os
from pathlib import Path

import numpy as np
import pytest

from slidelake.ingest import ingest
from slidelake.store import FeatureStore, verify
from tests.ingest import damaged
from tests.ingest.slides import PATCHES, tissue_slide, twenty_patches, write_slide

ENCODER = "colour-histogram"
SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "lake", create=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slides").mkdir()
    return tmp_path / "slides"


@pytest.mark.parametrize(
    ("make", "reason", "told"), damaged.BAD, ids=[row[0].__name__ for row in damaged.BAD]
)
def test_bad_input_has_its_reason_and_the_others_go_in(store, folder, make, reason, told):
    bad, good = make(folder), tissue_slide(folder / "zz.tif")
    report = ingest(store, [str(bad), str(good)], encoder=ENCODER)
    by_state = {outcome.state: outcome for outcome in report.outcomes}
    refused, made = by_state["quarantined"], by_state["made"]
    assert (refused.reason, report.exit_code) == (reason, 3), refused
    assert told in refused.message
    assert refused.remedy.endswith(".")
    assert refused.remedy[0].isupper()
    assert not refused.message.endswith(".")
    assert (made.slide_id, made.patches) == ("zz", PATCHES)
    (entry,) = store.quarantine.read_all()
    assert (entry["reason"], entry["message"]) == (reason, refused.message)
    assert store.slide_ids() == ["zz"]
    assert verify(store, deep=True).ok


def test_all_of_them_at_once(store, folder):
    bad = {str(make(folder)): reason for make, reason, _ in damaged.BAD}
    report = ingest(store, [*bad], encoder=ENCODER)
    assert {outcome.uri: outcome.reason for outcome in report.outcomes} == bad
    assert report.counts == {"quarantined": len(bad)}
    assert store.slide_ids() == []
    assert len(store.quarantine.read_all()) == len(bad)


def test_one_bad_tile_costs_one_patch(store, folder):
    path = write_slide(folder / "spot.tif", twenty_patches(), levels=(4,))
    whole = ingest(store, [str(path)], encoder=ENCODER)
    features = np.asarray(store.bag("spot").features[:])
    store.close_epoch("spot")
    damaged.destroy_tiles(path, [7])
    report = ingest(store, [str(path)], encoder=ENCODER)
    assert (whole.outcomes[0].invalid, report.outcomes[0].invalid) == (0, 1)
    assert (report.exit_code, report.outcomes[0].patches) == (0, 20)
    bag = store.bag("spot")
    valid, coords = np.asarray(bag.valid[:]), np.asarray(bag.coords[:])
    assert (valid == 0).sum() == 1
    assert coords[valid == 0].tolist() == [[256, 256]]  # tile 7 of 6 a row
    assert not np.asarray(bag.features[:])[valid == 0].any()
    # One that could not be read leaves the others as they are.
    assert np.array_equal(np.asarray(bag.features[:])[valid == 1], features[valid == 1])
    assert verify(store, deep=True).ok


def test_names_of_every_kind(store, folder):
    names = ["with spaces.tif", "ünïcode 組織.tif", "..tif.tif", "new\nline.tif", "-rf.tif", "a~b.tif", "nul.tif",
             "%41#?.tif", "quote'\".tif", "x" * 200 + ".tif", ".hidden.tif"]  # fmt: skip
    for seed, name in enumerate(names):
        tissue_slide(folder / name, seed=seed, size=512)
    report = ingest(store, [str(folder)], encoder=ENCODER)
    assert report.counts == {"made": len(names)}, report.outcomes
    assert len(set(store.slide_ids())) == len(names)
    assert all(set(slide_id) <= SAFE for slide_id in store.slide_ids())
    assert {Path(outcome.uri).name for outcome in report.outcomes} == set(names)
    assert verify(store).ok
    assert ingest(store, [str(folder)], encoder=ENCODER).counts == {"already": len(names)}


def test_a_path_with_dots_is_the_file_it_leads_to(store, folder):
    tissue_slide(folder / "a.tif")
    (folder / "sub").mkdir()
    report = ingest(store, [str(folder / "sub" / ".." / "a.tif"), str(folder / "a.tif")], encoder=ENCODER)
    assert [outcome.uri for outcome in report.outcomes] == [str((folder / "a.tif").resolve())]


def test_a_folder_that_is_called_like_a_slide(store, folder):
    (folder / "case.svs").mkdir()
    (folder / "case.svs" / "inside.svs").mkdir()
    tissue_slide(folder / "case.svs" / "real.tif")
    for sources in ([str(folder)], [str(folder / "case.svs")], [str(folder / "*.svs" / "*")]):
        report = ingest(store, sources, encoder=ENCODER)
        assert [outcome.slide_id for outcome in report.outcomes] == ["real"]
    assert ingest(store, [str(folder / "case.svs" / "inside.svs")], encoder=ENCODER).exit_code == 4


if hasattr(os, "geteuid") and os.geteuid() != 0:  # root may read everything

    def test_what_may_not_be_read(store, folder):
        path = tissue_slide(folder / "locked.tif")
        path.chmod(0)
        (outcome,) = ingest(store, [str(path)], encoder=ENCODER).outcomes
        assert outcome.reason == "unreadable"
        assert "permissions" in outcome.remedy
