"""The gallery: whole, self-contained, and honest about where its pixels are from."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from slidelake.index import Hits, Query, SlideIndex
from slidelake.services.gallery import render_html, render_png
from slidelake.services.gallery.cards import lay_out
from slidelake.services.gallery.picture import plain
from slidelake.services.gallery.pixels import Pixels
from slidelake.store import FeatureStore
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.index.lakes import FOOTPRINT, SPACE, features, make_lake, put_pooled, put_slide

THUMBNAIL = np.full((64, 192, 3), (214, 160, 190), np.uint8)  # 3,072 × 1,024 level-0 pixels, 16 to one


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Six slides with thumbnails and no source that could be opened."""
    store = make_lake(tmp_path_factory.mktemp("gallery") / "lake")
    for slide_id in store.slide_ids():
        store.put_overview(
            slide_id,
            thumbnail=THUMBNAIL,
            tissue_mask=np.ones((64, 192), np.uint8),
            attributes={},
            provenance={"patient_id": slide_id},
        )
        put_pooled(store, slide_id)
    store.metadata.merge(
        pd.DataFrame(
            {"slide_id": ["S0", "S1"], "site": ["<script>alert('x')</script>", "Müller–Gang ≥ 2 µm 組織"]}
        )
    )
    SlideIndex(store).sync()
    return store


@pytest.fixture(scope="module")
def index(store: FeatureStore) -> SlideIndex:
    return SlideIndex(store)


def test_a_grid_put_by_hand_need_not_say_what_the_encoder_saw(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path / "lake", create=True)
    add_slide(store, "S0", rows=4)
    with Pixels(store, f"{GRID_ID}/{ENCODER_ID}") as pixels:
        assert pixels.patch("S0", 256, 0).image.size == (256, 256)
        assert pixels.side_um("S0") is None


def every_kind(index: SlideIndex) -> dict[str, Hits]:
    vector = index.search_vector(features(0)[0], k=4)
    image = Query(kind="image", k=4, image="patch.png", pixels=np.full((256, 256, 3), 200, np.uint8))
    return {
        "patch": index.search_patch("S0", FOOTPRINT, 0, k=8, exclude_patient="P1"),
        "vector": vector,
        "image": Hits(
            list(vector), query=image, space=SPACE, notes=["patch.png was taken to be at 0.5 µm/px"]
        ),
        "slide": index.search_slide("S0", k=3),
        "nothing": index.search_patch("S0", 0, 0, where={"site": "nowhere"}),
    }


def test_every_kind_of_search_has_a_picture(store: FeatureStore, index: SlideIndex, tmp_path: Path) -> None:
    for kind, hits in every_kind(index).items():
        path = render_png(hits, store, tmp_path / "new" / f"{kind}.png")
        with Image.open(path) as picture:
            picture.load()
            assert picture.mode == "RGB"
            assert min(picture.size) > 300, kind
            assert len(picture.getcolors(2**24) or []) > 20


def test_pages_are_whole_in_themselves(store: FeatureStore, index: SlideIndex, tmp_path: Path) -> None:
    for kind, hits in every_kind(index).items():
        text = render_html(hits, store, tmp_path / f"{kind}.html").read_text(encoding="utf-8")
        assert "<script" not in text
        assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", text)
        assert "url(" not in text
        images = re.findall(r"<img [^>]*>", text)
        assert all(re.search(r'alt="[^"]+"', image) for image in images)
        expected = {"patch": 18, "vector": 8, "image": 9, "slide": 4, "nothing": 2}[kind]
        assert len(images) == expected, kind
        assert text.count('<li class="card">') == len(hits)


def test_what_is_written_about_slides_is_only_text(
    store: FeatureStore, index: SlideIndex, tmp_path: Path
) -> None:
    hits = index.search_vector(features(0)[0], where={"slide_id": ["S0", "S1"]})
    text = render_html(hits, store, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(" in text
    assert "Müller–Gang ≥ 2 µm 組織" in text


def test_hits_show_score_place_and_metadata(store: FeatureStore, index: SlideIndex) -> None:
    hits = index.search_patch("S0", FOOTPRINT, 0, k=3, where={"site": "O'Brien; DROP"})
    gallery = lay_out(hits, store, limit=2)
    assert len(gallery.hits) == 2
    assert gallery.notes == ("the first 2 of 3 hits are shown",)
    assert "128 µm a side" in gallery.subtitle
    first = dict(gallery.hits[0].facts)
    assert first["slide"] == hits[0].slide_id
    assert first["place"] == f"{hits[0].x}, {hits[0].y}"
    assert first["site"] == "O'Brien; DROP"
    assert first["fixed"] in ("yes", "no")
    assert dict(gallery.query.facts)["where"] == "site = O'Brien; DROP"


def test_the_place_is_marked_where_the_patch_lies(store: FeatureStore, index: SlideIndex) -> None:
    hit = index.search_vector(features(0)[8], k=1)[0]
    card = lay_out(index.search_vector(features(0)[8], k=1), store, limit=1).hits[0]
    assert card.place is not None
    assert hit.x is not None
    assert hit.y is not None
    marked = np.argwhere((np.asarray(card.place.image) != THUMBNAIL).any(axis=2))
    centre = (marked.min(axis=0) + marked.max(axis=0)) / 2
    assert np.allclose(centre, [(hit.y + 256) / 16, (hit.x + 256) / 16], atol=1.5)
    assert f"{hit.x}, {hit.y}" in card.place.alt


def test_without_the_slide_the_thumbnail_serves_and_says_so(store: FeatureStore, index: SlideIndex) -> None:
    hits = index.search_patch("S0", 0, 0, k=2)
    for card in lay_out(hits, store, limit=2).hits:
        assert card.picture is not None
        assert "thumbnail" in card.picture.note
        assert card.picture.image.size == (256, 256)


def test_pixels_come_from_the_slide_while_it_is_the_one_that_went_in(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(1024, 1536, 3), dtype=np.uint8)
    slide = tmp_path / "S0.tif"
    tifffile.imwrite(slide, pixels, tile=(256, 256), photometric="rgb")
    lake = FeatureStore.open(tmp_path / "lake", create=True)
    grid = {
        "spec": {"patch_px": 256, "mpp": None, "stride_px": 256},
        "footprint_level0": [256.0, 256.0],
        "stride_level0": [256.0, 256.0],
        "effective_mpp": None,
        "slide_size": [1536, 1024],
        "level": 0,
        "level_downsample": 1.0,
        "native": True,
    }
    origin = {"source_uri": str(slide), "source_size": slide.stat().st_size}
    at = np.array([[256 * (i % 6), 256 * (i // 6)] for i in range(12)])
    put_slide(lake, "S0", features(0), provenance=origin, at=at, facts=grid)
    lake.put_overview(
        "S0",
        thumbnail=pixels[::16, ::16],
        tissue_mask=np.ones((64, 96), np.uint8),
        attributes={},
        provenance=origin,
    )
    index = SlideIndex(lake)
    index.sync()
    hits = index.search_patch("S0", 300, 300, k=3)
    gallery = lay_out(hits, lake, limit=3)
    assert gallery.query.picture is not None
    assert gallery.query.picture.note == ""
    assert np.array_equal(np.asarray(gallery.query.picture.image), pixels[256:512, 256:512])
    assert "µm" not in gallery.subtitle
    for card, hit in zip(gallery.hits, hits, strict=True):
        assert card.picture is not None
        assert hit.x is not None
        assert hit.y is not None
        assert np.array_equal(
            np.asarray(card.picture.image), pixels[hit.y : hit.y + 256, hit.x : hit.x + 256]
        )
    for damage in (lambda: slide.write_bytes(slide.read_bytes()[:-1]), slide.unlink):
        damage()
        first = lay_out(hits, lake, limit=1).hits[0].picture
        assert first is not None
        assert "thumbnail" in first.note


def test_features_without_overview_still_have_a_gallery(tmp_path: Path) -> None:
    bare = make_lake(tmp_path / "lake", slides=1)
    index = SlideIndex(bare)
    index.sync()
    hits = index.search_patch("S0", 0, 0, k=2)
    assert render_png(hits, bare, tmp_path / "bare.png").stat().st_size > 1000
    assert "neither slide nor thumbnail" in render_html(hits, bare, tmp_path / "bare.html").read_text()


def test_the_picture_has_letters_for_every_text() -> None:
    assert plain("Müller–Gang ≥ 2 µm 組織") == "Muller-Gang >= 2 microns ??"
    assert plain("plain ASCII (1 < 2)") == "plain ASCII (1 < 2)"


def test_the_same_hits_give_the_same_bytes(store: FeatureStore, index: SlideIndex, tmp_path: Path) -> None:
    hits = index.search_patch("S0", 0, 0, k=3)
    one, two = (render_png(hits, store, tmp_path / f"{name}.png").read_bytes() for name in ("one", "two"))
    assert one == two
