"""Images as queries: what is cut out of them, and what is refused."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slidelake.encoders import create_encoder
from slidelake.errors import QueryError
from slidelake.index import SlideIndex
from slidelake.index.image_query import prepare_image
from slidelake.store import FeatureStore
from tests.index.lakes import ENCODER, put_slide
from tests.shared_data import shared

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, size=(256, 256, 3), dtype=np.uint8)


def test_a_patch_is_taken_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "patch.png")
    query = prepare_image(tmp_path / "patch.png", patch_px=256, space_mpp=0.5, mpp=None)
    assert np.array_equal(query.pixels, NOISE)
    assert (query.name, query.notes) == ("patch.png", ())


def test_mpp_scales_by_area_average() -> None:
    big = np.kron(NOISE[:64, :64], np.ones((4, 4, 1), np.uint8))  # 256 px at 0.25 µm/px: 128 px at 0.5
    query = prepare_image(big, patch_px=128, space_mpp=0.5, mpp=0.25)
    assert np.array_equal(query.pixels, np.kron(NOISE[:64, :64], np.ones((2, 2, 1), np.uint8)))
    assert query.notes == ()


def test_without_mpp_the_spaces_own_is_assumed_and_said() -> None:
    query = prepare_image(NOISE, patch_px=128, space_mpp=0.5, mpp=None)
    assert np.array_equal(query.pixels, NOISE[64:192, 64:192])
    assert "0.5 µm/px" in query.notes[0]
    assert "central 128 × 128 px" in query.notes[1]


def test_an_image_smaller_than_a_patch_is_enlarged_and_said() -> None:
    query = prepare_image(NOISE[:100, :200], patch_px=256, space_mpp=0.5, mpp=0.5)
    assert query.pixels.shape == (256, 256, 3)
    assert any("39%" in note for note in query.notes)


def test_transparent_is_white(tmp_path: Path) -> None:
    rgba = np.dstack([NOISE, np.zeros((256, 256), np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    assert (prepare_image(tmp_path / "clear.png", patch_px=256, space_mpp=0.5, mpp=None).pixels == 255).all()


def _with_size(png: bytes, side: int) -> bytes:
    """The PNG with another size in its header, which is all that needs to be read to refuse it."""
    header = png[12:16] + struct.pack(">II", side, side) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def _files(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "text.png").write_text("not an image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    Image.fromarray(NOISE).save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:30_000])
    Image.fromarray(NOISE).save(folder / "whole.jpg")
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:5_000])
    Image.fromarray(NOISE[..., 0]).save(folder / "grey.png")
    Image.fromarray(NOISE[..., 0].astype(np.uint16) * 256).save(folder / "deep.png")
    Image.fromarray(NOISE[:16, :300]).save(folder / "small.png")
    (folder / "huge.png").write_bytes(_with_size((folder / "whole.png").read_bytes(), 40_000))
    return {
        "text": (folder / "text.png", "not an image"),
        "empty": (folder / "empty.png", "not an image"),
        "folder": (folder / "folder.png", "is a folder"),
        "missing": (folder / "missing.png", "there is no image"),
        "cut png": (folder / "cut.png", "damaged"),
        "cut jpeg": (folder / "cut.jpg", "damaged"),
        "grey": (folder / "grey.png", "not a colour image"),
        "16 bits": (folder / "deep.png", "not a colour image"),
        "small": (folder / "small.png", "too small"),
        "huge": (folder / "huge.png", "more pixels"),
    }


def test_what_is_no_colour_image_is_refused_by_name(tmp_path: Path) -> None:
    for path, problem in _files(tmp_path).values():
        with pytest.raises(QueryError, match=problem) as caught:
            prepare_image(path, patch_px=256, space_mpp=0.5, mpp=None)
        assert path.name in caught.value.problem
        assert caught.value.remedy


@pytest.mark.parametrize(
    "array", [NOISE[..., 0], NOISE.astype(np.float32), NOISE[:0], np.dstack([NOISE, NOISE]), NOISE[:8, :8]]
)
def test_arrays_are_uint8_rgb(array: np.ndarray) -> None:
    with pytest.raises(QueryError):
        prepare_image(array, patch_px=256, space_mpp=0.5, mpp=None)


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), float("inf"), 352.8])
def test_absurd_mpp_is_refused(mpp: float) -> None:
    with pytest.raises(QueryError, match="µm/px"):
        prepare_image(NOISE, patch_px=256, space_mpp=0.5, mpp=mpp)


def test_mpp_means_nothing_to_a_level0_space() -> None:
    with pytest.raises(QueryError, match="no µm/px"):
        prepare_image(NOISE, patch_px=256, space_mpp=None, mpp=0.5)


@pytest.mark.parametrize(
    "path", shared("patches/**/*.jp*g")[:3] + shared("patches/**/*.png")[:3], ids=lambda p: p.name
)
def test_real_patches_are_taken(path: Path) -> None:
    assert prepare_image(path, patch_px=224, space_mpp=None, mpp=None).pixels.shape == (224, 224, 3)


@dataclass(frozen=True)
class Spec:
    name: str
    encoder_id: str


class Colours:
    """A patch encoder of three by eight colour counts and one constant."""

    def __init__(self, encoder_id: str = ENCODER) -> None:
        self.spec = Spec("toy", encoder_id)

    def encode(self, patches: np.ndarray) -> np.ndarray:
        counts = [[np.histogram(p[..., c], 8, (0, 256))[0] for c in range(3)] for p in patches]
        flat = np.asarray(counts, np.float32).reshape(len(patches), -1)
        return np.concatenate([flat, np.ones((len(flat), 1), np.float32)], axis=1)


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> tuple[SlideIndex, np.ndarray]:
    """A store whose twelve patches are known as pixels, (12, 256, 256, 3)."""
    pixels = RNG.integers(0, 256, size=(12, 1, 1, 3)) + RNG.integers(-20, 20, size=(12, 256, 256, 3))
    patches = np.clip(pixels, 0, 255).astype(np.uint8)
    store = FeatureStore.open(tmp_path_factory.mktemp("image") / "lake", create=True)
    put_slide(store, "S0", Colours().encode(patches), provenance={"encoder": {"name": "colour-histogram"}})
    index = SlideIndex(store)
    index.sync()
    return index, patches


def test_a_patch_given_as_an_image_finds_itself(
    pictured: tuple[SlideIndex, np.ndarray], tmp_path: Path
) -> None:
    index, patches = pictured
    Image.fromarray(patches[7]).save(tmp_path / "seven.png")
    hits = index.search_image(tmp_path / "seven.png", encoder=Colours(), k=3)
    assert hits[0].row == 7
    assert hits[0].score == pytest.approx(1, abs=1e-6)
    assert (hits.query.kind, hits.query.image) == ("image", "seven.png")
    assert hits.query.pixels is not None
    assert np.array_equal(hits.query.pixels, patches[7])
    assert index.search_image(patches[7], mpp=0.5)[0].row == 7  # the encoder that was given is remembered


@pytest.mark.parametrize("name", ["colour-histogram", "stain-texture"])
def test_the_spaces_own_encoder_is_made_again(name: str, tmp_path: Path) -> None:
    encoder = create_encoder(name)
    patches = RNG.integers(0, 256, size=(6, 64, 64, 3), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    patches[:, :, :, 1] //= 2
    store = FeatureStore.open(tmp_path / "lake", create=True)
    encoder_id = encoder.spec.encoder_id
    put_slide(
        store, "S0", encoder.encode(patches), encoder=encoder_id, provenance={"encoder": {"name": name}}
    )
    index = SlideIndex(store)
    index.sync()
    hits = index.search_image(patches[4], space=name, k=2)
    assert hits[0].row == 4
    assert hits[0].score == pytest.approx(1, abs=1e-6)


def test_an_encoder_of_another_id_is_refused(pictured: tuple[SlideIndex, np.ndarray]) -> None:
    index, patches = pictured
    with pytest.raises(QueryError, match=r"toy\.0123abcd, and this one is toy\.ffffffff"):
        index.search_image(patches[0], encoder=Colours("toy.ffffffff"))


def test_notes_of_the_query_are_notes_of_the_hits(pictured: tuple[SlideIndex, np.ndarray]) -> None:
    index, patches = pictured
    hits = index.search_image(np.tile(patches[3], (2, 2, 1)), encoder=Colours(), k=1)
    assert hits[0].row == 3
    assert any("0.5 µm/px" in note for note in hits.notes)


def test_an_image_has_no_patient(pictured: tuple[SlideIndex, np.ndarray]) -> None:
    index, patches = pictured
    with pytest.raises(QueryError, match="no patient"):
        index.search_image(patches[0], encoder=Colours(), exclude_same_patient=True)
