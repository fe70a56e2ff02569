"""What goes wrong in mid-run: nothing half-made stays, the rest goes in, and running again completes."""

import errno
import threading
from pathlib import Path

import numpy as np
import pytest

from slidelake.errors import StoreError, StoreFullError
from slidelake.ingest import ingest, pipeline
from slidelake.ingest.readers.openslide import OpenSlideReader
from slidelake.store import FeatureStore, verify
from slidelake.store.durable import writing
from slidelake.store.objects import NewFile
from tests.ingest import encoders
from tests.ingest.slides import PATCHES, checksums, tissue, tissue_slide, write_slide

PLAIN = "tests.ingest.encoders:plain"


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "lake", create=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three slides, the second with a patch that some encoders stumble over."""
    (tmp_path / "slides").mkdir()
    for seed, name in enumerate("abc"):
        picture = tissue(1024, 1024, seed)
        write_slide(tmp_path / "slides" / f"{name}.tif", encoders.mark(picture) if name == "b" else picture)
    return tmp_path / "slides"


def attempts(store: FeatureStore) -> list[str]:
    """Folders of bags, grids and overviews that are on disk, committed or not."""
    assert store.objects.local is not None
    slides = store.objects.local / "slides"
    return (
        sorted({str(file.parent.parent) for file in slides.rglob("zarr.json")} - {str(slides)})
        if slides.exists()
        else []
    )


@pytest.mark.parametrize(
    ("encoder", "told"),
    [("raises_on_mark", "RuntimeError: CUDA out of memory"), ("nan_on_mark", "NaN or infinity")],
)
def test_an_encoder_that_fails_on_one_slide(store, folder, encoder, told):
    threads = threading.active_count()
    report = ingest(store, [str(folder)], encoder=f"tests.ingest.encoders:{encoder}", batch_size=1)
    assert [outcome.reason or outcome.state for outcome in report.outcomes] == [
        "made",
        "encoding-failed",
        "made",
    ]
    refused = report.outcomes[1]
    assert told in refused.message
    assert refused.remedy
    assert threading.active_count() == threads
    assert store.slide_ids() == ["a", "c"]
    assert store.state("b").keys == {}
    assert not [path for path in attempts(store) if "/b/" in path]
    assert verify(store, deep=True).ok


@pytest.mark.parametrize("encoder", ["one_row_less", "wrong_width"])
def test_an_encoder_that_gives_other_rows_than_it_should(store, folder, encoder):
    report = ingest(store, [str(folder)], encoder=f"tests.ingest.encoders:{encoder}")
    assert [outcome.reason for outcome in report.outcomes] == ["encoding-failed"] * 3
    assert "(8, 3)" in report.outcomes[0].message
    assert store.slide_ids() == []
    assert attempts(store) == []


def interrupt_at(monkeypatch, call: int) -> None:
    calls = iter(range(1, 1000))
    read_patch = pipeline.read_patch

    def interrupted(*args):
        if next(calls) == call:
            raise KeyboardInterrupt
        return read_patch(*args)

    monkeypatch.setattr(pipeline, "read_patch", interrupted)


@pytest.mark.parametrize("call", [1, PATCHES + 3, 2 * PATCHES])
def test_an_interrupted_run_leaves_a_clean_store_and_its_report(store, folder, monkeypatch, call):
    threads = threading.active_count()
    interrupt_at(monkeypatch, call)
    with pytest.raises(KeyboardInterrupt):
        ingest(store, [str(folder)], encoder=PLAIN, batch_size=2, threads=1)
    assert threading.active_count() == threads
    done = ["a"] if call > PATCHES else []
    assert store.slide_ids() == done
    assert verify(store, deep=True).ok
    (kept,) = store.runs()
    assert kept["interrupted"] is True
    assert kept["counts"] == ({"made": 1} if done else {})
    monkeypatch.undo()
    report = ingest(store, [str(folder)], encoder=PLAIN)
    assert report.counts == ({"already": 1, "made": 2} if done else {"made": 3})
    assert [run["interrupted"] for run in store.runs()] == [True, False]
    assert attempts(store) == sorted(set(attempts(store)))


def full_at(monkeypatch, call: int) -> None:
    """The disk is full at the n-th piece that any shard is written."""
    calls = iter(range(1, 1000))

    write = NewFile.write

    def full(self, data):
        with writing(self._objects.url):
            if next(calls) == call:
                raise OSError(errno.ENOSPC, "No space left on device")
        write(self, data)

    monkeypatch.setattr(NewFile, "write", full)


@pytest.mark.parametrize("call", [1, 2, 5, 8, 12, 20])
def test_a_full_disk_ends_the_run_and_running_again_completes_it(store, folder, tmp_path, monkeypatch, call):
    threads = threading.active_count()
    full_at(monkeypatch, call)
    with pytest.raises(StoreFullError) as caught:
        ingest(store, [str(folder)], encoder=PLAIN, batch_size=2)
    assert caught.value.remedy
    assert threading.active_count() == threads
    assert store.slide_ids() in ([], ["a"])
    assert verify(store, deep=True).ok
    monkeypatch.undo()
    assert ingest(store, [str(folder)], encoder=PLAIN).exit_code == 0
    whole = FeatureStore.open(tmp_path / "whole", create=True)
    ingest(whole, [str(folder)], encoder=PLAIN)
    assert checksums(store) == checksums(whole)
    assert verify(store, deep=True).ok


def test_a_report_that_cannot_be_written_does_not_hide_what_happened(store, folder, monkeypatch):
    full_at(monkeypatch, 4)

    def fails(*args):
        raise StoreError("the report cannot be written", remedy="Look.")

    monkeypatch.setattr(FeatureStore, "put_run", fails)
    with pytest.raises(StoreFullError):
        ingest(store, [str(folder)], encoder=PLAIN, batch_size=2)
    monkeypatch.undo()
    monkeypatch.setattr(FeatureStore, "put_run", fails)
    with pytest.raises(StoreError, match="report cannot be written"):
        ingest(store, [str(folder)], encoder=PLAIN)


def test_a_slide_that_another_run_made_meanwhile(store, folder, tmp_path, monkeypatch):
    """Both look, both find nothing, both work: the second is told so, and the first's data stands."""
    make = pipeline._make
    raced: list[str] = []

    def second(store, task, options, encoder, say):
        if task.slide_id == "a" and not raced:
            raced.append("a")
            assert ingest(store, [str(folder / "a.tif")], encoder=PLAIN).counts == {"made": 1}
        return make(store, task, options, encoder, say)

    monkeypatch.setattr(pipeline, "_make", second)
    report = ingest(store, [str(folder)], encoder=PLAIN)
    assert report.counts == {"already": 1, "made": 2}
    assert verify(store, deep=True).ok


def test_slides_are_closed_whatever_happens(store, folder, monkeypatch):
    opened: list[str] = []
    closed: list[str] = []
    init, close = OpenSlideReader.__init__, OpenSlideReader.close
    monkeypatch.setattr(
        OpenSlideReader, "__init__", lambda self, uri: (init(self, uri), opened.append(uri))[0]
    )
    monkeypatch.setattr(OpenSlideReader, "close", lambda self: (close(self), closed.append(self.uri))[0])
    ingest(store, [str(folder)], encoder="tests.ingest.encoders:raises_on_mark")
    assert len(opened) == 3
    assert opened == closed


def test_a_local_copy_of_a_remote_slide_is_removed(store, folder, tmp_path, monkeypatch):
    import tempfile

    import fsspec

    from slidelake.ingest import local_copy

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    memory = fsspec.filesystem("memory")
    for name in "ab":
        memory.pipe_file(f"/failures-test/{name}.tif", (folder / f"{name}.tif").read_bytes())
    memory.pipe_file("/failures-test/c.tif", b"no slide")
    report = ingest(store, ["memory://failures-test"], encoder="tests.ingest.encoders:raises_on_mark")
    assert [outcome.reason or outcome.state for outcome in report.outcomes] == [
        "made", "encoding-failed", "unsupported-format",
    ]  # fmt: skip
    assert list((tmp_path / "tmp").iterdir()) == []
    monkeypatch.setattr(local_copy, "SPARE", 1 << 60)
    with pytest.raises(StoreFullError, match="no room for a local copy"):
        ingest(store, ["memory://failures-test/b.tif"], encoder=PLAIN)
    assert list((tmp_path / "tmp").iterdir()) == []
    memory.rm("/failures-test", recursive=True)


def test_a_run_that_is_asked_twice_at_once(store, tmp_path):
    """Two threads, one store, the same slides: every array is there once, nothing is damaged."""
    paths = [str(tissue_slide(tmp_path / f"s{i}.tif", seed=i, size=512)) for i in range(4)]
    results: list[dict[str, int]] = []
    gate = threading.Barrier(2)

    def work() -> None:
        gate.wait()
        results.append(ingest(store, paths, encoder=PLAIN).counts)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.get("made", 0) for result in results) == 4
    assert sum(result.get("already", 0) for result in results) == 4
    assert np.all([len(store.bag(slide)) > 0 for slide in store.slide_ids()])
    assert verify(store, deep=True).ok


def test_a_bag_that_comes_while_its_slide_is_opened_stands(store, tmp_path, monkeypatch):
    """Another run commits between the look at the keys and the writer's own: that bag counts, and stays the first."""
    path = str(tissue_slide(tmp_path / "s.tif", seed=0, size=512))
    opened = pipeline.open_slide
    first: list[str] = []

    def meanwhile(*args, **kwargs):
        monkeypatch.setattr(pipeline, "open_slide", opened)
        assert ingest(store, [path], encoder=PLAIN).counts == {"made": 1}
        first.extend(attempts(store))
        return opened(*args, **kwargs)

    monkeypatch.setattr(pipeline, "open_slide", meanwhile)
    assert ingest(store, [path], encoder=PLAIN).counts == {"already": 1}
    assert attempts(store) == first
