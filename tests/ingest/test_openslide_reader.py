"""The OpenSlide reader against the suite for readers, and what is its own."""

from pathlib import Path

import fsspec
import numpy as np
import psutil
import pytest

from slidelake.errors import DamagedSlideError, UsageError
from slidelake.ingest import SlideReader, open_slide
from slidelake.ingest.readers import READERS, openslide
from slidelake.ingest.testing import SlideReaderTests
from tests.ingest.damaged import destroy_tiles, set_tag, tiles_of
from tests.ingest.slides import tissue, tissue_slide, write_slide


class TestOpenSlideReader(SlideReaderTests):
    edge_loss = 30

    def open(self, uri: str) -> SlideReader:
        return openslide.open(uri)

    def write(self, path, picture, *, mpp, levels):
        return write_slide(path, picture, mpp=mpp, levels=levels, compressionargs={"level": 95})

    def damage(self, path):
        destroy_tiles(path, [0])
        return 100, 100


class TestOpenSlideReaderWithoutLoss(TestOpenSlideReader):
    edge_loss = 0

    def write(self, path, picture, *, mpp, levels):
        return write_slide(path, picture, mpp=mpp, levels=levels, compression="deflate")


def test_open_slide_takes_the_reader_by_its_name(tmp_path):
    path = str(tissue_slide(tmp_path / "a.tif", size=512))
    for name in ("auto", *READERS):
        with open_slide(path, reader=name) as slide:
            assert slide.name == ("openslide" if name == "auto" else name)
    with pytest.raises(UsageError, match="no reader 'other'"):
        open_slide(path, reader="other")


def test_a_remote_slide_is_there_for_as_long_as_it_is_open(tmp_path):
    path = tissue_slide(tmp_path / "a.tif", size=512)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/reader-test/a.tif", path.read_bytes())
    with open_slide("memory://reader-test/a.tif") as slide, open_slide(str(path)) as local:
        assert slide.uri == "memory://reader-test/a.tif"
        copy = Path(slide.local_path)
        assert copy.read_bytes() == path.read_bytes()
        assert np.array_equal(slide.read_region(0, 0, 0, 99, 99), local.read_region(0, 0, 0, 99, 99))
    assert not copy.parent.exists()
    assert path.exists()
    memory.rm("/reader-test", recursive=True)


def test_files_are_closed(tmp_path):
    path = str(tissue_slide(tmp_path / "a.tif", size=512))
    before = psutil.Process().num_fds()
    for _ in range(10):
        with open_slide(path) as slide:
            slide.thumbnail(64)
    assert psutil.Process().num_fds() <= before + 1


def test_what_was_not_scanned_is_white(tmp_path):
    """Tiles that a scanner left out (length 0) are background, not black."""
    path = write_slide(tmp_path / "sparse.tif", tissue(1024, 1024, glass=0))
    lengths = [length for _, length in tiles_of(path)]
    set_tag(path, "TileByteCounts", [0, *lengths[1:]])
    with open_slide(str(path)) as slide:
        # A patch at the border of what was scanned is white where nothing was.
        assert (slide.read_region(156, 0, 0, 256, 256)[:, :100] == 255).all()
        assert (slide.read_region(256, 0, 0, 256, 256) < 250).any()
        assert (slide.thumbnail(1024)[:256, :256] == 255).all()
        # One that lies on it mostly was never written: white would pass for glass.
        with pytest.raises(DamagedSlideError, match="never written"):
            slide.read_region(100, 0, 0, 256, 256)
