"""The picture: colours where the patches lie, to the pixel; and a legend that tells the truth."""

import numpy as np
import pytest
from PIL import Image

from slidelake.errors import UsageError
from slidelake.services.heatmap import HeatmapOptions, choose_values, heatmap
from slidelake.services.heatmap.colours import COLOURS, colour_table
from slidelake.services.heatmap.picture import draw_heatmap, overlay
from slidelake.services.heatmap.values import column_values
from tests.services.heatmap.lakes import ABMIL, GRID, SPACE, lattice, new_store, put, put_scores


@pytest.mark.parametrize(
    ("footprint", "thumbnail"), [(512.0, (640, 448)), (506.9, (641, 449)), (1013.8, (97, 68))]
)
def test_the_grid_lies_exactly_on_the_thumbnail(tmp_path, footprint, thumbnail):
    """A chessboard painted on the slide by its level-0 pixels, and the same chessboard as values of the patches."""
    store = new_store(tmp_path)
    size = (10_250, 7_180)
    coords = lattice(size, footprint, footprint)
    black = (np.floor(coords / footprint + 0.5).sum(1) % 2 == 0).astype(np.uint8)
    width, height = thumbnail

    def chessboard(w, h):
        x, y = (np.arange(w) + 0.5) * size[0] / w, (np.arange(h) + 0.5) * size[1] / h
        return (
            x[None],
            y[:, None],
            (np.floor(x[None] / footprint) + np.floor(y[:, None] / footprint)) % 2 == 0,
        )

    picture = np.where(chessboard(width, height)[2][..., None], 0, 255).astype(np.uint8).repeat(3, 2)
    put(
        store, "S1", coords, size=size, footprint=footprint, thumbnail=picture, columns={"black": black * 255}
    )
    values = column_values(store, "S1", GRID, "black")
    image, notes = overlay(values, store, opacity=1.0, colours="viridis")
    assert notes == []
    times = image.width // width
    assert image.size == (width * times, height * times)
    drawn = np.asarray(image)
    high, low = colour_table("viridis")[[255, 0]]
    x, y, painted = chessboard(*image.size)
    covered_x, covered_y = coords.max(0) + footprint
    # Corners are rounded to whole level-0 pixels: a centre nearer than one to an edge may fall to either side.
    clear = (y < covered_y) & (x < covered_x)
    for place in (x, y):
        clear = clear & (np.abs((place / footprint) % 1 - 0.5) < 0.5 - 1 / footprint)
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(drawn[clear & painted], np.broadcast_to(high, drawn[clear & painted].shape))
    np.testing.assert_array_equal(
        drawn[clear & ~painted], np.broadcast_to(low, drawn[clear & ~painted].shape)
    )
    # Outside of the patches the slide is as it was.
    outside = (y >= covered_y + 1) | (x >= covered_x + 1)
    original = np.asarray(Image.fromarray(picture).resize(image.size, Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(drawn[outside], original[outside])


def test_a_small_patch_can_be_seen(tmp_path):
    """Patches of less than a pixel of the thumbnail: it is enlarged."""
    store = new_store(tmp_path)
    size = (20_000, 12_000)
    coords = lattice(size, 40, 40)[::997]
    tissue = np.arange(len(coords), dtype=np.uint8)
    thumbnail = np.full((600, 1000, 3), 230, np.uint8)
    put(store, "S1", coords, size=size, footprint=40.0, thumbnail=thumbnail, columns={"tissue": tissue})
    values = column_values(store, "S1", GRID, "tissue")
    image, _ = overlay(values, store, opacity=1.0)
    assert image.size == (2000, 1200)
    seen = (np.asarray(image) != 230).any(2)
    assert seen.sum() == len(coords) * 16  # four by four pixels a patch


def test_no_thumbnail_is_a_blank_slide(tmp_path):
    store = new_store(tmp_path)
    coords = lattice((4000, 2000), 500, 500)
    tissue = np.arange(len(coords), dtype=np.uint8)
    put(store, "S1", coords, size=(4000, 2000), footprint=500.0, columns={"tissue": tissue})
    values = column_values(store, "S1", GRID, "tissue")
    image, notes = overlay(values, store)
    assert image.size == (900, 450)
    assert notes == ["no thumbnail is stored: the slide is left blank"]
    path = draw_heatmap(values, store, tmp_path / "new" / "S1.png")
    with Image.open(path) as picture:
        assert picture.width > 1200


@pytest.mark.parametrize("name", COLOURS)
def test_colour_maps_rise_in_lightness(name):
    """For every colour vision, and in print: lighter is more."""
    table = colour_table(name).astype(float)
    lightness = table @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -1.5).all()
    assert lightness[-1] - lightness[0] > 140


def test_every_branch_has_its_files(tmp_path):
    store = new_store(tmp_path)
    size = (2560, 1536)
    coords = lattice(size, 256, 256)
    put(store, "S1", coords, size=size, footprint=256.0, thumbnail=np.full((96, 160, 3), 220, np.uint8))
    generator = np.random.default_rng(0)
    attention = put_scores(store, "S1", generator.normal(size=(2, len(coords))) * [[2.0], [0.01]])
    made = heatmap(store, "S1", aggregator="abmil", show="attention", out=tmp_path / "out", patches=3)
    assert len(made) == 2
    for branch, each in enumerate(made):
        assert each.least == pytest.approx(attention[branch].min())
        assert each.most == pytest.approx(attention[branch].max())
        assert set(each.files) == {"picture", "raster", "array", "geojson", "patches"}
        assert all(path.parent == tmp_path / "out" and path.stat().st_size for path in each.files.values())
        np.testing.assert_array_equal(np.load(each.files["array"]).ravel(), attention[branch])
        with Image.open(each.files["raster"]) as raster:
            assert (raster.size, raster.mode) == ((10, 6), "RGBA")
    assert len({path for each in made for path in each.files.values()}) == 10
    # A map of noise says that it is one.
    assert not any("nearly uniform" in note for note in made[0].notes)
    assert any("nearly uniform" in note for note in made[1].notes)
    [only] = heatmap(store, "S1", aggregator=ABMIL, branch=1, out=tmp_path / "one", patches=0)
    assert "patches" not in only.files
    assert ".branch1." in only.files["picture"].name


def test_what_cannot_be_drawn(tmp_path):
    store = new_store(tmp_path)
    put(store, "S1", lattice((1000, 1000), 250, 250), size=(1000, 1000), footprint=250.0)
    for wrong in ({"opacity": 2}, {"colours": "jet"}, {"objects": "cell"}, {"patches": -1}, {"top": -3}):
        with pytest.raises(UsageError):
            HeatmapOptions(**wrong)
    with pytest.raises(UsageError, match="shows one thing"):
        choose_values(store, "S1", SPACE)
    with pytest.raises(UsageError, match="shows one thing"):
        choose_values(store, "S1", SPACE, aggregator="abmil", column="tissue")
