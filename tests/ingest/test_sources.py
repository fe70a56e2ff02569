"""What is tried as a slide."""

import shutil
from pathlib import Path

import fsspec
import pytest

from slidelake.ingest.sources import Found, find_slides, fixed_part
from tests.ingest.slides import tissue_slide
from tests.shared_data import shared


def names(*sources: object) -> list[str]:
    return [Path(found.uri).name for found in find_slides([str(source) for source in sources])]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ["a.svs", "b.TIF", "c.ome.tiff", "notes.txt", "sub/d.ndpi", "sub/deep/e.mrxs", "sub/deep/e/Slide.ini",
                 "sub/deep/e/Data0000.dat", "sub/[x].svs", ".hidden/f.svs", "g.svs.part"]:  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_gives_known_suffixes_at_any_depth_and_no_companions(tree):
    assert sorted(names(tree)) == ["[x].svs", "a.svs", "b.TIF", "c.ome.tiff", "d.ndpi", "e.mrxs", "f.svs"]


def test_they_come_in_the_order_of_their_uris_each_once(tree):
    found = [each.uri for each in find_slides([str(tree), str(tree / "a.svs"), str(tree / "*.svs")])]
    assert found == sorted(set(found))
    assert len(found) == 7


def test_what_is_named_is_tried_whatever_it_is(tree):
    assert names(tree / "notes.txt") == ["notes.txt"]
    assert names(tree / "nowhere.svs") == ["nowhere.svs"]
    assert names(f"file://{tree / 'a.svs'}") == ["a.svs"]


def test_brackets_in_a_name_that_is_there_are_no_pattern(tree):
    assert names(tree / "sub" / "[x].svs") == ["[x].svs"]


def test_globs(tree):
    assert names(tree / "*") == ["a.svs", "b.TIF", "c.ome.tiff"]
    assert names(tree / "sub" / "*.svs") == ["[x].svs"]
    assert names(tree / "**" / "*.mrxs") == ["e.mrxs"]
    assert names(tree / "nothing*") == []
    assert names(tree / "*.txt") == []


def test_relative_to_where_one_stands(tree, monkeypatch):
    monkeypatch.chdir(tree / "sub")
    assert find_slides(["d.ndpi"]) == [Found(str(tree / "sub" / "d.ndpi"), str(tree / "sub"))]
    assert [each.root for each in find_slides(["*.ndpi"])] == [str(tree / "sub")]
    assert names("../*.svs") == ["a.svs"]


@pytest.mark.parametrize(
    ("pattern", "fixed"),
    [
        ("/data/*/x.svs", "/data"),
        ("/data/a/*.svs", "/data/a"),
        ("/data/a/b.svs", "/data/a"),
        ("*.svs", ""),
        ("/*.svs", ""),
        ("/d?/x.svs", ""),
        ("bucket/a/**/x[0-9].svs", "bucket/a"),
    ],
)
def test_fixed_part(pattern, fixed):
    assert fixed_part(pattern) == fixed


def test_a_link_keeps_its_own_name(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "1f3870be").touch()
    (tmp_path / "case.svs").symlink_to(tmp_path / "store" / "1f3870be")
    assert names(tmp_path / "case.svs") == ["case.svs"]
    assert names(tmp_path) == ["case.svs"]


def test_remote_files_folders_and_globs():
    memory = fsspec.filesystem("memory")
    for name in ["a.svs", "notes.txt", "sub/b.tif"]:
        memory.pipe_file(f"/sources-test/{name}", b"x")
    assert [each.uri for each in find_slides(["memory://sources-test"])] == [
        "memory:///sources-test/a.svs",
        "memory:///sources-test/sub/b.tif",
    ]
    assert names("memory://sources-test/*.svs") == ["a.svs"]
    assert [each.uri for each in find_slides(["memory://sources-test/notes.txt"])] == [
        "memory://sources-test/notes.txt"
    ]
    memory.rm("/sources-test", recursive=True)


def test_broken_dicom_files_are_each_tried(tmp_path):
    for name in ("one.dcm", "two.dcm"):
        (tmp_path / name).write_bytes(b"no dicom")
    assert [(Path(each.uri).name, each.stem) for each in find_slides([str(tmp_path)])] == [
        ("one.dcm", "one"),
        ("two.dcm", "two"),
    ]


@pytest.mark.parametrize("folder", shared("slides/dicom_wsi_sample"), ids=lambda path: path.name)
def test_shared_dicom_folder_is_one_slide_with_the_folders_name(folder, tmp_path):
    for source in (folder, f"{folder}/*.dcm", f"{folder.parent}/dicom_wsi_sampl*"):
        (found,) = find_slides([str(source)])
        assert found.stem == "dicom_wsi_sample"
    both = tmp_path / "both"
    both.mkdir()
    shutil.copy(folder / "level-11-frames-0-1.dcm", both)
    shutil.copy(folder.parent / "odd" / "highdicom_sm_image.dcm", both)
    assert sorted(each.stem for each in find_slides([str(both)])) == [
        "highdicom_sm_image",
        "level-11-frames-0-1",
    ]


def test_slides_beside_dicom_are_found_too(tmp_path):
    tissue_slide(tmp_path / "a.tif", size=512)
    (tmp_path / "x.dcm").touch()
    assert sorted(names(tmp_path)) == ["a.tif", "x.dcm"]
