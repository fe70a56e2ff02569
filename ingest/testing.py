"""Conformance suite for slide readers: what the rest of ingest takes for granted of each.

A reader's test is a subclass with two methods, the way of zarr's `StoreTests`:

    class TestMyReader(SlideReaderTests):
        def open(self, uri):
            return my_reader.open(uri)

        def write(self, path, picture, *, mpp, levels):
            …  # a slide of that picture in the reader's format; returns its path

Needs pytest; nothing else of slidelake imports this module.
"""

import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from slidelake.errors import DamagedSlideError, SlideError, UnreadableSlideError
from slidelake.ingest.slide import SlideReader

__all__ = ["SlideReaderTests"]

#: Largest difference (grey levels) that a lossy format may make on the suite's smooth picture.
LOSS = 8
#: Multiples of 16 at both levels: no block of a JPEG holds both picture and padding.
WIDTH, HEIGHT, MPP = 1088, 704, 0.25


def smooth_picture(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """(height, width, 3): three slow ramps, so that each place has a colour of its own and JPEG keeps it."""
    y, x = np.mgrid[:height, :width]
    red, green, blue = 40 + 160 * x / width, 40 + 160 * y / height, 220 - 80 * (x + y) / (width + height)
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


class SlideReaderTests(ABC):
    """Sizes, places, edges, threads, damage and closing."""

    #: Largest difference at the slide's very edge, where a JPEG's colours run into its padding.
    edge_loss = LOSS

    @abstractmethod
    def open(self, uri: str) -> SlideReader:
        """Open with the reader under test."""

    @abstractmethod
    def write(self, path: Path, picture: NDArray[np.uint8], *, mpp: float, levels: tuple[int, ...]) -> Path:
        """Write a slide of this picture, with coarser levels at these factors; returns what is to be opened."""

    def damage(self, path: Path) -> tuple[int, int] | None:
        """Spoil the pixels at some level-0 place and return it; None where the format cannot be spoilt so."""
        return None

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return self.write(tmp_path / "slide.tif", smooth_picture(), mpp=MPP, levels=(4,))

    def test_what_it_says_of_itself(self, path: Path) -> None:
        with self.open(str(path)) as slide:
            assert slide.uri == str(path)
            assert slide.name
            assert slide.version
            assert Path(slide.local_path).is_file()
            assert slide.dimensions == slide.level_dimensions[0] == (WIDTH, HEIGHT)
            assert slide.level_dimensions[1] == (WIDTH // 4, HEIGHT // 4)
            assert slide.level_downsamples[0] == 1
            assert slide.level_downsamples[1] == pytest.approx(4, rel=0.01)
            assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(MPP)
            assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(MPP)

    @pytest.mark.parametrize(
        ("x", "y", "width", "height"), [(0, 0, 256, 256), (517, 301, 300, 123), (987, 654, 101, 50)]
    )
    def test_regions_lie_where_they_should(self, path: Path, x: int, y: int, width: int, height: int) -> None:
        with self.open(str(path)) as slide:
            region = slide.read_region(x, y, 0, width, height)
        assert region.shape == (height, width, 3)
        assert region.dtype == np.uint8
        expected = smooth_picture()[y : y + height, x : x + width].astype(int)
        difference = np.abs(region - expected)
        assert difference.max() <= self.edge_loss
        assert difference[:-2, :-2].max() <= LOSS

    def test_places_on_a_coarser_level_are_level_0_places(self, path: Path) -> None:
        with self.open(str(path)) as slide:
            region = slide.read_region(400, 200, 1, 100, 80)
        expected = smooth_picture()[200:520:4, 400:800:4].astype(int)
        assert region.shape == (80, 100, 3)
        assert np.abs(region - expected).mean() <= 2

    def test_beyond_the_edge_is_white(self, path: Path) -> None:
        with self.open(str(path)) as slide:
            corner = slide.read_region(WIDTH - 20, HEIGHT - 30, 0, 100, 100)
            outside = slide.read_region(WIDTH + 500, HEIGHT + 500, 0, 10, 10)
            before = slide.read_region(-40, -40, 0, 60, 60)
        assert (corner[30:] == 255).all()
        assert (corner[:, 20:] == 255).all()
        assert (corner[:30, :20] < 250).any(axis=-1).all()
        assert (outside == 255).all()
        assert (before[:40] == 255).all()
        assert (before[40:, 40:] < 250).any(axis=-1).all()

    @pytest.mark.parametrize("longest", [32, 100, 272, 500, WIDTH, 5000])
    def test_thumbnails_hold_the_whole_slide(self, path: Path, longest: int) -> None:
        with self.open(str(path)) as slide:
            thumbnail = slide.thumbnail(longest)
        height, width = thumbnail.shape[:2]
        assert width <= min(longest, WIDTH)
        assert width >= min(longest, WIDTH) - 1
        assert height == pytest.approx(width * HEIGHT / WIDTH, abs=1)
        picture = smooth_picture()
        for row, column, corner in (
            (0, 0, picture[0, 0]),
            (-1, -1, picture[-1, -1]),
            (0, -1, picture[0, -1]),
        ):
            assert np.abs(thumbnail[row, column] - corner.astype(int)).max() <= self.edge_loss + 320 / width

    def test_threads_read_what_one_reads(self, path: Path) -> None:
        places = [(x, y) for y in range(0, 600, 50) for x in range(0, 1000, 100)]
        with self.open(str(path)) as slide:
            alone = [slide.read_region(x, y, 0, 90, 70) for x, y in places]
            with ThreadPoolExecutor(4) as pool:
                together = list(
                    pool.map(lambda place: slide.read_region(place[0], place[1], 0, 90, 70), places)
                )
        assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))

    def test_damage_costs_itself_only(self, path: Path) -> None:
        place = self.damage(path)
        if place is None:
            return
        with self.open(str(path)) as slide:
            for _ in range(3):
                with pytest.raises(DamagedSlideError) as caught:
                    slide.read_region(place[0], place[1], 0, 20, 20)
                assert caught.value.slide == str(path)
                far = ((place[0] + 600) % (WIDTH - 20), (place[1] + 350) % (HEIGHT - 20))
                assert slide.read_region(far[0], far[1], 0, 20, 20).shape == (20, 20, 3)

    def test_damage_met_by_many_threads(self, path: Path) -> None:
        place = self.damage(path)
        if place is None:
            return
        places = [place, (WIDTH - 30, HEIGHT - 30)] * 20

        def read(where: tuple[int, int]) -> bool:
            try:
                slide.read_region(where[0], where[1], 0, 20, 20)
            except DamagedSlideError:
                return False
            return True

        with self.open(str(path)) as slide, ThreadPoolExecutor(4) as pool:
            assert list(pool.map(read, places)) == [False, True] * 20

    def test_what_is_no_slide_is_refused_by_a_slide_error(self, tmp_path: Path) -> None:
        for name, data in (
            ("empty.tif", b""),
            ("text.tif", b"no slide at all"),
            ("tiff.tif", b"II*\0\xff\xff\xff\x7f"),
        ):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(SlideError) as caught:
                self.open(str(tmp_path / name))
            assert caught.value.remedy
        with pytest.raises(UnreadableSlideError):
            self.open(str(tmp_path / "nowhere.tif"))

    def test_closing_leaves_no_thread(self, path: Path) -> None:
        before = threading.active_count()
        slide = self.open(str(path))
        slide.read_region(0, 0, 0, 10, 10)
        slide.close()
        assert threading.active_count() == before
