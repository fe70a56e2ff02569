"""The run as a whole, in this process: what is made, what is not made again, what is told."""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import UnknownEncoderError, UsageError
from slidelake.ingest import GridSpec, ingest, pipeline, provenance
from slidelake.ingest import overview as overview_module
from slidelake.ingest.readers.openslide import OpenSlideReader
from slidelake.store import FeatureStore, verify
from tests.ingest.damaged import destroy_tiles
from tests.ingest.encoders import mark
from tests.ingest.slides import PATCHES, checksums, tissue, tissue_slide, twenty_patches, write_slide

ENCODER = "colour-histogram"


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "lake", create=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three slides."""
    for seed, name in enumerate("abc"):
        (tmp_path / "slides").mkdir(exist_ok=True)
        tissue_slide(tmp_path / "slides" / f"{name}.tif", seed=seed)
    return tmp_path / "slides"


def states(report) -> dict[str, str]:
    return {Path(outcome.uri).name: outcome.reason or outcome.state for outcome in report.outcomes}


def test_what_is_made(store, folder):
    report = ingest(store, [str(folder)], encoder=ENCODER, patient_pattern="^[ab]")
    assert states(report) == {"a.tif": "made", "b.tif": "made", "c.tif": "made"}
    assert (report.exit_code, report.counts) == (0, {"made": 3})
    assert [outcome.patches for outcome in report.outcomes] == [PATCHES] * 3
    assert store.slide_ids() == ["a", "b", "c"]
    bag, grid = store.bag("a"), store.grid("a", "256px-0.5mpp")
    assert bag.features.shape == (PATCHES, 216)
    assert np.array_equal(bag.coords[:], grid.coords[:])
    assert np.asarray(bag.coords[:]).tolist() == [[x, y] for y in range(0, 1024, 256) for x in (0, 256)]
    assert set(grid.columns) == {"tissue", "pen", "background", "blur"}
    assert (np.asarray(grid.columns["blur"][:]) < 64).all()
    assert (np.asarray(grid.columns["tissue"][:]) > 200).all()
    assert verify(store, deep=True).ok


def test_where_it_came_from(store, folder):
    ingest(store, [str(folder)], encoder=ENCODER, patient_pattern="^[ab]")
    told = store.bag("a").provenance
    source = folder / "a.tif"
    assert told["source_uri"] == str(source)
    assert (told["source_size"], told["source_mtime"]) == (source.stat().st_size, source.stat().st_mtime)
    assert told["source_checksum"] == provenance.content_checksum(str(source))
    assert (told["mpp_x"], told["mpp_y"], told["mpp_source"]) == (0.5, 0.5, "properties")
    assert (told["reader"], told["patient_id"], told["patient_source"]) == ("openslide", "a", "pattern")
    assert store.bag("c").provenance["patient_source"] == "slide"
    assert told["encoder"]["name"] == ENCODER
    assert told["grid"] == GridSpec().to_dict()
    assert {"weights_sha256", "stain", "dtype", "slidelake_version", "time", "tissue_rule"} <= set(told)


def test_features_are_those_of_the_patches(store, tmp_path):
    """Row by row: read_patch → encode, without the pipeline."""
    from slidelake.encoders import create_encoder
    from slidelake.ingest import open_slide, read_patch

    path = tissue_slide(tmp_path / "a.tif", mpp=0.31)
    ingest(store, [str(path)], encoder=ENCODER, grid=GridSpec(128, 0.5), batch_size=5)
    bag, grid = store.bag("a"), store.grid("a", "128px-0.5mpp")
    with open_slide(str(path)) as slide:
        patches = [read_patch(slide, grid.attributes, int(x), int(y)) for x, y in np.asarray(grid.coords[:])]
    expected = create_encoder(ENCODER).encode(np.stack(patches)).astype(np.float16)
    assert np.array_equal(np.asarray(bag.features[:]), expected)


def test_batches_and_threads_change_nothing(folder, tmp_path):
    made = []
    for i, (batch, threads) in enumerate([(64, 1), (3, 2), (1, 4)]):
        store = FeatureStore.open(tmp_path / f"lake{i}", create=True)
        ingest(store, [str(folder)], encoder=ENCODER, batch_size=batch, threads=threads)
        made.append(checksums(store))
    assert made[0] == made[1] == made[2]
    # Overview: thumbnail and mask; grid: coords and four columns; bag: three.
    assert len(made[0]) == 3 * (2 + 5 + 3)


def test_the_second_run_reads_no_pixels_and_looks_once_at_each_source(store, folder, monkeypatch):
    ingest(store, [str(folder)], encoder=ENCODER)
    before = checksums(store)
    calls: Counter[str] = Counter()
    stat = Path.stat

    def counted_stat(self: Path, **options):
        if self.suffix == ".tif":
            calls[self.name] += 1
        return stat(self, **options)

    def forbidden(*args, **options):
        raise AssertionError("a slide was opened")

    monkeypatch.setattr(Path, "stat", counted_stat)
    monkeypatch.setattr(pipeline, "open_slide", forbidden)
    monkeypatch.setattr(OpenSlideReader, "__init__", forbidden)
    monkeypatch.setattr(OpenSlideReader, "read_region", forbidden)
    report = ingest(store, [str(folder)], encoder=ENCODER)
    assert states(report) == {"a.tif": "already", "b.tif": "already", "c.tif": "already"}
    assert [outcome.patches for outcome in report.outcomes] == [PATCHES] * 3
    assert report.exit_code == 0
    assert calls == {"a.tif": 1, "b.tif": 1, "c.tif": 1}
    monkeypatch.undo()
    assert checksums(store) == before


def test_a_second_encoder_takes_the_grid_as_it_is(store, folder, monkeypatch):
    looked: list[int] = []
    find_tissue = overview_module.find_tissue
    monkeypatch.setattr(
        overview_module,
        "find_tissue",
        lambda *args, **options: looked.append(1) or find_tissue(*args, **options),
    )
    ingest(store, [str(folder)], encoder=ENCODER)
    assert len(looked) == 3
    grids = {slide: store.grid(slide, "256px-0.5mpp").checksum for slide in "abc"}
    ingest(store, [str(folder)], encoder="tests.ingest.encoders:plain")
    assert len(looked) == 3
    assert len(store.spaces()) == 2
    assert {slide: store.grid(slide, "256px-0.5mpp").checksum for slide in "abc"} == grids
    ingest(store, [str(folder)], encoder=ENCODER, grid=GridSpec(128, 0.5))
    assert sorted(space.split("/")[0] for space in store.spaces()) == ["128px-0.5mpp"] + ["256px-0.5mpp"] * 2
    assert verify(store, deep=True).ok


def test_a_changed_source_is_refused_or_made_anew(store, folder):
    ingest(store, [str(folder)], encoder=ENCODER)
    before = checksums(store)
    tissue_slide(folder / "b.tif", seed=77)
    os.utime(folder / "b.tif", (1, 1))
    refused = ingest(store, [str(folder)], encoder=ENCODER)
    assert states(refused) == {"a.tif": "already", "b.tif": "source-changed", "c.tif": "already"}
    assert "--on-changed again" in refused.outcomes[1].remedy
    assert checksums(store) == before
    dry = ingest(store, [str(folder)], encoder=ENCODER, on_changed="again", dry_run=True)
    assert states(dry)["b.tif"] == "would-make"
    assert checksums(store) == before
    again = ingest(store, [str(folder)], encoder=ENCODER, on_changed="again")
    assert states(again) == {"a.tif": "already", "b.tif": "made", "c.tif": "already"}
    assert (store.state("a").epoch, store.state("b").epoch) == (1, 2)
    after = checksums(store)
    assert {key for key in after if after[key] != before[key]} >= {
        key for key in after if key.startswith("b ") and "features" in key
    }
    assert all(after[key] == before[key] for key in after if not key.startswith("b "))
    assert store.quarantine.read_all() == []
    assert verify(store, deep=True).ok


def test_a_touched_source_with_the_same_bytes_is_the_same(store, folder):
    ingest(store, [str(folder)], encoder=ENCODER)
    os.utime(folder / "a.tif", (1, 1))
    assert ingest(store, [str(folder)], encoder=ENCODER).counts == {"already": 3}


def test_a_changed_source_counts_for_a_second_encoder_too(store, folder):
    ingest(store, [str(folder)], encoder=ENCODER)
    tissue_slide(folder / "a.tif", seed=78)
    report = ingest(store, [str(folder)], encoder="tests.ingest.encoders:plain")
    assert states(report) == {"a.tif": "source-changed", "b.tif": "made", "c.tif": "made"}


def test_a_bad_new_file_does_not_cost_what_the_old_one_gave(store, folder):
    ingest(store, [str(folder)], encoder=ENCODER)
    before = checksums(store)
    (folder / "b.tif").write_bytes(b"no slide any more")
    report = ingest(store, [str(folder)], encoder=ENCODER, on_changed="again")
    assert states(report)["b.tif"] == "unsupported-format"
    assert checksums(store) == before
    assert store.state("b").epoch == 1


def test_another_mpp_asked_for_is_not_passed_over(store, tmp_path):
    bare = tissue_slide(tmp_path / "bare.tif", mpp=None)
    assert ingest(store, [str(bare)], encoder=ENCODER, assume_mpp=0.5).counts == {"made": 1}
    assert ingest(store, [str(bare)], encoder=ENCODER, assume_mpp=0.5).counts == {"already": 1}
    other = ingest(store, [str(bare)], encoder=ENCODER, assume_mpp=0.25, grid=GridSpec(mpp=0.5))
    assert states(other) == {"bare.tif": "source-changed"}
    assert "0.25" in other.outcomes[0].message
    again = ingest(store, [str(bare)], encoder=ENCODER, assume_mpp=0.25, on_changed="again")
    assert again.counts == {"made": 1}
    assert store.state("bare").epoch == 2


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), 500.0])
def test_an_assumed_mpp_that_cannot_be_is_refused_at_once(store, folder, mpp):
    with pytest.raises(UsageError, match="assume-mpp"):
        ingest(store, [str(folder)], encoder=ENCODER, assume_mpp=mpp)


def test_one_bad_tile_of_a_slide_of_one_level_costs_its_patches_only(store, tmp_path):
    path = destroy_tiles(write_slide(tmp_path / "flat.tif", twenty_patches()), [6])
    report = ingest(store, [str(path)], encoder=ENCODER)
    assert report.counts == {"made": 1}
    (outcome,) = report.outcomes
    valid = store.bag("flat").valid[:]
    assert outcome.invalid == len(valid) - valid.sum() <= 1


def test_a_bad_tile_of_a_slide_of_one_level_hides_no_other_tissue(store, tmp_path):
    whole = write_slide(tmp_path / "whole.tif", twenty_patches())
    bad = destroy_tiles(write_slide(tmp_path / "bad.tif", twenty_patches()), [6])
    report = ingest(store, [str(whole), str(bad)], encoder=ENCODER)
    patches = {outcome.slide_id: outcome.patches for outcome in report.outcomes}
    assert patches["whole"] - 1 <= patches["bad"] <= patches["whole"]


def test_an_encoder_that_gives_nan_in_its_only_batch_costs_the_slide(store, folder):
    slide = folder / "marked.tif"
    write_slide(slide, mark(tissue(1024, 1024)))
    report = ingest(store, [str(folder)], encoder="tests.ingest.encoders:nan_on_mark")
    assert states(report)["marked.tif"] == "encoding-failed"
    assert report.counts == {"made": 3, "quarantined": 1}


def test_a_small_blank_slide_holds_no_tissue(store, tmp_path):
    blank = write_slide(tmp_path / "blank.tif", np.full((384, 512, 3), 243, np.uint8))
    report = ingest(store, [str(blank)], encoder=ENCODER, grid=GridSpec(patch_px=64))
    assert states(report) == {"blank.tif": "no-tissue"}


def test_what_shines_on_black_is_fluorescence(store, tmp_path):
    glow = np.zeros((1024, 1024, 3), np.uint8)
    glow[300:500, 300:500, 1] = 200
    report = ingest(store, [str(write_slide(tmp_path / "glow.tif", glow))], encoder=ENCODER)
    assert states(report) == {"glow.tif": "fluorescence"}


def test_a_moved_file_is_the_same_slide(store, folder, tmp_path):
    ingest(store, [str(folder)], encoder=ENCODER)
    shutil.move(folder, tmp_path / "elsewhere")
    report = ingest(store, [str(tmp_path / "elsewhere")], encoder=ENCODER)
    assert report.counts == {"already": 3}


def test_another_slide_of_the_same_name(store, folder, tmp_path):
    (folder / "sub").mkdir()
    tissue_slide(folder / "sub" / "a.tif", seed=9)
    report = ingest(store, [str(folder)], encoder=ENCODER)
    assert report.counts == {"made": 3, "quarantined": 1}
    assert [outcome.reason for outcome in report.outcomes if outcome.reason] == ["duplicate-slide-id"]
    alone = ingest(store, [str(folder / "sub")], encoder=ENCODER)
    assert alone.outcomes[0].reason == "duplicate-slide-id"
    by_path = ingest(store, [str(folder)], encoder=ENCODER, id_from="path")
    assert states(by_path) == {"a.tif": "made", "b.tif": "already", "c.tif": "already"}
    assert store.slide_ids() == ["a", "b", "c", "sub__a"]


def test_names_that_differ_by_case_are_one(store, tmp_path):
    for seed, name in enumerate(("one/Case.tif", "two/case.tif")):
        (tmp_path / name).parent.mkdir()
        tissue_slide(tmp_path / name, seed=seed)
    both = ingest(store, [str(tmp_path / "*" / "*.tif")], encoder=ENCODER)
    assert sorted(outcome.reason or outcome.state for outcome in both.outcomes) == [
        "duplicate-slide-id",
        "made",
    ]
    alone = ingest(store, [str(tmp_path / "two")], encoder=ENCODER)
    assert alone.outcomes[0].reason == "duplicate-slide-id"
    assert store.slide_ids() == ["Case"]


def test_a_success_clears_the_quarantine(store, folder):
    missing = write_slide(folder / "d.tif", tissue(1024, 1024, 4), mpp=None)
    assert ingest(store, [str(folder)], encoder=ENCODER).exit_code == 3
    assert [entry["slide_id"] for entry in store.quarantine.read_all()] == ["d"]
    report = ingest(store, [str(folder)], encoder=ENCODER, assume_mpp=0.5)
    assert (states(report)["d.tif"], report.exit_code) == ("made", 0)
    assert store.quarantine.read_all() == []
    assert store.bag("d").provenance["mpp_source"] == "assumed"
    assert missing.exists()


def test_the_manifests_columns_become_metadata_in_one_generation(store, folder):
    manifest = folder / "m.csv"
    manifest.write_text(
        "uri,slide_id,patient_id,mpp,site,age\na.tif,007,0042,,larynx,61\nb.tif,,0042,0.25,tongue,48\nnowhere.tif,x,,,lip,50\n"
    )
    report = ingest(store, [str(folder)], manifest=str(manifest), encoder=ENCODER)
    assert states(report) == {"a.tif": "made", "b.tif": "made", "c.tif": "made", "nowhere.tif": "unreadable"}
    table = store.metadata.read().set_index("slide_id")
    assert table.loc["007", "site"] == "larynx"
    assert table.loc["b", "age"] == 48
    assert store.objects.list("metadata") == ["metadata/000001.parquet"]
    assert store.bag("b").provenance["mpp_source"] == "manifest"
    assert store.bag("007").provenance["patient_id"] == "0042"
    ingest(store, [str(folder)], manifest=str(manifest), encoder=ENCODER)
    assert store.objects.list("metadata") == ["metadata/000001.parquet"]
    catalog = store.catalog().set_index("slide_id")
    assert isinstance(catalog, pd.DataFrame)
    assert catalog.loc["007", "patient_id"] == "0042"


def test_the_report_is_kept(store, folder):
    report = ingest(store, [str(folder)], encoder=ENCODER)
    (kept,) = store.runs()
    assert kept["run_id"] == report.run_id
    assert kept["counts"] == {"made": 3}
    assert [outcome["slide_id"] for outcome in kept["outcomes"]] == ["a", "b", "c"]
    assert kept["asked"]["grid"] == "256px-0.5mpp"
    first = report.outcomes[0]
    assert min(first.seconds, first.decode_seconds, first.encode_seconds, first.write_seconds) > 0


def test_a_dry_run_writes_nothing(store, folder):
    (folder / "bad.svs").write_text("no slide")
    assert store.objects.local is not None
    before = sorted(store.objects.local.rglob("*"))
    report = ingest(store, [str(folder), "/nowhere.svs"], encoder=ENCODER, dry_run=True)
    assert set(report.counts) <= {"would-make", "quarantined"}
    assert states(report)["a.tif"] == "would-make"
    assert sorted(store.objects.local.rglob("*")) == before


def test_progress_tells_every_patch_and_slide(store, folder):
    told: list[tuple[str, dict]] = []
    ingest(
        store,
        [str(folder)],
        encoder=ENCODER,
        batch_size=3,
        progress=lambda event, **fields: told.append((event, fields)),
    )
    assert told[0] == ("start", {"total": 3})
    assert told[-1][0] == "end"
    assert sum(fields["n"] for event, fields in told if event == "patches") == 3 * PATCHES
    assert [fields["outcome"].slide_id for event, fields in told if event == "slide"] == ["a", "b", "c"]


def test_nothing_matched(store, folder):
    report = ingest(store, [str(folder / "*.svs")], encoder=ENCODER)
    assert (report.exit_code, report.outcomes) == (4, [])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"encoder": "no-such"}, UnknownEncoderError),
        ({"encoder": "no.such.module:x"}, UnknownEncoderError),
        ({"on_changed": "perhaps"}, UsageError),
        ({"id_from": "name"}, UsageError),
        ({"patient_pattern": "("}, UsageError),
        ({"manifest": "/nowhere.csv"}, UsageError),
        ({"reader": "no-such"}, UsageError),
        ({"batch_size": 0}, UsageError),
        ({"threads": -1}, UsageError),
        ({"workers": -1}, UsageError),
        ({"id_from": "path", "root": "/elsewhere"}, UsageError),
    ],
)
def test_what_is_wrong_with_the_request_is_said_before_anything_starts(store, folder, options, error):
    assert store.objects.local is not None
    before = sorted(store.objects.local.rglob("*"))
    with pytest.raises(error) as caught:
        ingest(store, [str(folder)], **{"encoder": ENCODER, **options})
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    assert sorted(store.objects.local.rglob("*")) == before


def test_no_sources(store):
    with pytest.raises(UsageError, match="no slides were named"):
        ingest(store, [], encoder=ENCODER)


def test_memory_urls(store, folder):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/run-test/r.tif", (folder / "a.tif").read_bytes())
    report = ingest(store, ["memory://run-test"], encoder=ENCODER)
    assert report.counts == {"made": 1}
    told = store.bag("r").provenance
    assert told["source_uri"] == "memory:///run-test/r.tif"
    assert told["source_checksum"] == provenance.content_checksum(str(folder / "a.tif"))
    assert ingest(store, ["memory://run-test"], encoder=ENCODER).counts == {"already": 1}
    memory.rm("/run-test", recursive=True)
    assert ingest(store, ["memory://run-test/r.tif"], encoder=ENCODER).outcomes[0].reason == "unreadable"
