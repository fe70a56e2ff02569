"""Pre-trained slide encoders: what they are given, what they give, and what is said of anything that is missing.

With stand-ins of the authors' packages (stand_ins.py): the real weights are behind licences.
"""

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from slidelake.encoders.slide import (
    Block,
    PretrainedEncoder,
    create_aggregator,
    create_pretrained,
    embed,
    pretrained_names,
)
from slidelake.encoders.slide.pretrained import PRETRAINED
from slidelake.errors import (
    EncoderError,
    MissingDependencyError,
    UnknownAggregatorError,
    UsageError,
    WeightsError,
)
from slidelake.store import FeatureStore
from tests.encoders.slide.stand_ins import write_packages, write_weights

SPACES = {
    "chief": "256px-1mpp/ctranspath.0123abcd",
    "gigapath": "256px-0.5mpp/prov-gigapath.0123abcd",
    "madeleine": "256px-1mpp-min10/conch_v1.0123abcd",
    "prism": "224px-0.5mpp/virchow.0123abcd",
    "titan": "512px-0.5mpp/conch_v15.0123abcd",
}
THEIRS = ("transformers", "gigapath", "madeleine", "models", "utils")
#: A slide of 0.2531 µm/px: patches of 512 px at 0.5 µm/px are 1,011.46 of its own.
FOOTPRINT = (512 * 0.5 / 0.2531, 512 * 0.5 / 0.2531)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The stand-ins' packages on the path, and nothing of them left afterwards."""
    folder = tmp_path / "packages"
    write_packages(folder)
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in THEIRS}
    for name in before:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in THEIRS]:
        del sys.modules[name]


def make(name: str, tmp_path: Path, **options: Any) -> PretrainedEncoder:
    weights = tmp_path / name
    if not weights.exists():
        write_weights(name, weights)
    return create_pretrained(name, **{"space": SPACES[name], "weights": weights, "device": "cpu", **options})


def make_bag(name: str, rows: int = 30) -> Block:
    """Rows of the encoder's width on a grid of 6 columns, a third of them not valid and full of NaN."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(rows, PRETRAINED[name].dim)).astype(np.float16)
    valid = np.arange(rows) % 3 > 0
    features[~valid] = np.nan
    cells = np.stack([np.arange(rows) % 6, np.arange(rows) // 6], 1)
    coords = np.floor(cells * np.array(FOOTPRINT) + 0.5).astype(np.int32)
    return Block(features, valid, coords, FOOTPRINT)


def test_the_names() -> None:
    assert pretrained_names() == ["chief", "gigapath", "madeleine", "prism", "titan"]
    with pytest.raises(UnknownAggregatorError, match=r"'titanic'.*chief, gigapath, madeleine, prism, titan"):
        create_pretrained("titanic", space=SPACES["titan"], weights=None)
    with pytest.raises(UnknownAggregatorError, match=r"titan is pre-trained.*create_pretrained"):
        create_aggregator("titan", encoder_id="conch_v15.0123abcd")


# What they are given, and what comes out


def weighted(bag: Block, weight: torch.Tensor) -> np.ndarray:
    """The stand-ins' mean over valid rows of 1 + column + row times the projected features."""
    rows = torch.from_numpy(bag.features[bag.valid].astype(np.float32)) @ weight.T
    places = np.arange(len(bag.valid))[bag.valid]
    return (rows * torch.from_numpy(1.0 + places % 6 + places // 6).float()[:, None]).mean(0).numpy()


@pytest.mark.usefixtures("packages")
def test_titan_gets_features_and_places(tmp_path: Path) -> None:
    made = make("titan", tmp_path).encode([make_bag("titan")])
    weight = load_file(tmp_path / "titan" / "model.safetensors")["project.weight"]
    np.testing.assert_allclose(made.embedding[0], weighted(make_bag("titan"), weight), rtol=1e-4)
    assert made.embedding.dtype == np.float32
    assert made.scores is None
    assert made.lse is None


@pytest.mark.usefixtures("packages")
def test_gigapath_gets_features_and_places_and_answers_without_dropout(tmp_path: Path) -> None:
    encoder = make("gigapath", tmp_path)
    made = encoder.encode([make_bag("gigapath")])
    state = torch.load(tmp_path / "gigapath" / "slide_encoder.pth", weights_only=True)["model"]
    bag = make_bag("gigapath")
    places = np.arange(30)[bag.valid]
    bias = state["patch_embed.bias"].numpy() * (1 + places % 6 + places // 6).mean()
    np.testing.assert_allclose(
        made.embedding[0], weighted(bag, state["patch_embed.weight"]) + bias, rtol=1e-4
    )


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("name", ["prism", "madeleine"])
def test_prism_and_madeleine_get_features_alone(name: str, tmp_path: Path) -> None:
    bag = make_bag(name)
    made = make(name, tmp_path).encode([Block(bag.features, bag.valid)])
    weight = (
        load_file(tmp_path / name / "model.safetensors")
        if name == "prism"
        else torch.load(tmp_path / name / "model.pt", weights_only=True)
    )["project.weight"]
    wanted = bag.features[bag.valid].astype(np.float32).mean(0) @ weight.numpy().T
    np.testing.assert_allclose(made.embedding[0], wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("packages")
def test_chief_gives_its_attention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = types.ModuleType("utils")
    monkeypatch.setitem(sys.modules, "utils", other)  # a module of the user's own program
    place = Path.cwd()
    encoder = make("chief", tmp_path)
    assert sys.modules["utils"] is other
    assert "models" not in sys.modules
    assert str(tmp_path / "chief") not in sys.path
    assert Path.cwd() == place
    bag = make_bag("chief")
    made = encoder.encode([bag])
    assert made.scores is not None
    assert made.lse is not None
    assert made.scores.shape == (1, 30)
    attention = np.exp(made.scores[0] - made.lse[0])
    assert (attention[~bag.valid] == 0).all()
    np.testing.assert_allclose(attention.sum(), 1, rtol=1e-5)
    rows = bag.features[bag.valid].astype(np.float32)
    np.testing.assert_allclose(made.embedding[0], attention[bag.valid] @ rows, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("name", ["titan", "gigapath"])
@pytest.mark.parametrize("slide_mpp", [0.2201, 0.2499, 0.25, 0.2531, 0.4987, 0.5])
def test_each_patch_lies_in_its_own_cell(name: str, slide_mpp: float, tmp_path: Path) -> None:
    """As our grids round corners: cell i starts at floor(i · footprint + 0.5), and theirs divide and round down."""
    seen = {}
    encoder = make(name, tmp_path)
    encoder._encode = lambda features, places: (seen.update(places=places), (features[:1], None))[1]
    side = PRETRAINED[name].patch_px
    footprint = side * 0.5 / slide_mpp
    cells = np.stack([np.arange(900), np.arange(900)[::-1]], 1)
    coords = np.floor(cells * footprint + 0.5).astype(np.int32)
    features = np.zeros((900, PRETRAINED[name].dim), np.float16)
    encoder.encode([Block(features, np.ones(900, bool), coords, (footprint, footprint))])
    assert np.array_equal(seen["places"].numpy() // side, cells)


@pytest.mark.usefixtures("packages")
def test_ids_follow_the_weights(tmp_path: Path) -> None:
    ids = {name: make(name, tmp_path).spec.aggregator_id for name in pretrained_names()}
    assert all(ids[name].startswith(f"{name}.") for name in ids)
    again = make("titan", tmp_path, weights=tmp_path / "titan" / "model.safetensors")  # a file of the folder
    assert again.spec.aggregator_id == ids["titan"]
    assert again.about()["sha256"] == again.spec.checkpoint_sha256
    save_file({"project.weight": torch.zeros(5, 768)}, tmp_path / "titan" / "model.safetensors")
    assert make("titan", tmp_path).spec.aggregator_id != ids["titan"]


@pytest.mark.usefixtures("packages")
def test_bags_that_do_not_fit(tmp_path: Path) -> None:
    titan, bag = make("titan", tmp_path), make_bag("titan")
    with pytest.raises(ValueError, match="without a valid row"):
        titan.encode([bag._replace(valid=np.zeros(30, bool))])
    with pytest.raises(EncoderError, match=r"takes 768 features a patch, the bag has 512.*CONCH v1\.5"):
        titan.encode([bag._replace(features=bag.features[:, :512])])
    with pytest.raises(ValueError, match="titan needs a block's coords and footprint"):
        titan.encode([Block(bag.features, bag.valid)])
    with pytest.raises(EncoderError, match="not finite"):
        titan.encode([bag._replace(features=np.full_like(bag.features, np.inf))])
    gigapath, bag = make("gigapath", tmp_path), make_bag("gigapath")
    assert bag.coords is not None
    far = bag._replace(coords=bag.coords + int(1000 * FOOTPRINT[0]))
    with pytest.raises(EncoderError, match="more than 1000 patches in a row"):
        gigapath.encode([far])


# What is said of what is missing


@pytest.mark.parametrize(
    ("name", "space", "said"),
    [
        (
            "titan",
            "256px-0.5mpp/conch_v15.0123abcd",
            "titan takes patches of 512px@0.5mpp side by side, the bags",
        ),
        ("titan", "512px-0.5mpp-s256/conch_v15.0123abcd", "side by side, the bags are of 512px-0.5mpp-s256"),
        ("titan", "512px-level0/conch_v15.0123abcd", "are of 512px-level0. Ingest with --grid 512px@0.5mpp"),
        ("titan", "512px-0.5mpp/conch_v1.0123abcd", r"takes rows of CONCH v1\.5, the bags are of conch_v1\."),
        ("prism", "224px-0.5mpp/virchow2.0123abcd", "takes rows of Virchow, .*the bags are of virchow2"),
        ("chief", "256px-0.5mpp/ctranspath.0123abcd", "chief takes patches of 256px@1mpp"),
        ("gigapath", "256px-0.5mpp/uni2-h.0123abcd", "takes rows of Prov-GigaPath, the bags are of uni2-h"),
        ("madeleine", "256px-1mpp/conch_v15.0123abcd", "takes rows of CONCH, the bags are of conch_v15"),
    ],
)
def test_spaces_that_do_not_fit(name: str, space: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        create_pretrained(name, space=space, weights=tmp_path)


@pytest.mark.usefixtures("packages")
def test_a_space_under_another_name_can_be_trusted(tmp_path: Path) -> None:
    space = "512px-level0/our-conch.0123abcd"
    assert make("titan", tmp_path, space=space, trust_space=True).spec.encoder_id == "our-conch.0123abcd"


@pytest.mark.parametrize("name", pretrained_names())
def test_weights_that_are_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=f"{name} needs its own weights.*from its authors, and give the folder"
    ):
        create_pretrained(name, space=SPACES[name], weights=None)
    with pytest.raises(WeightsError, match="there is no folder"):
        create_pretrained(name, space=SPACES[name], weights=tmp_path / "nowhere")
    folder = write_weights(name, tmp_path / name)
    for pattern in (*PRETRAINED[name].files, PRETRAINED[name].weights):
        (file,) = folder.glob(pattern)
        aside = file.rename(tmp_path / "aside")
        with pytest.raises(WeightsError, match=rf"{name} lacks .*{file.suffix}\. Give the folder"):
            create_pretrained(name, space=SPACES[name], weights=folder)
        aside.rename(file)


@pytest.mark.parametrize(
    ("name", "module", "remedy"),
    [
        ("titan", "transformers", "Install transformers, einops and timm"),
        ("prism", "transformers", "Install transformers"),
        ("gigapath", "gigapath", "Install gigapath"),
        ("madeleine", "madeleine", "Install madeleine, from mahmoodlab/MADELEINE"),
        ("chief", "utils", "Install what its authors list"),
    ],
)
def test_packages_that_are_missing(
    name: str, module: str, remedy: str, tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_weights(name, tmp_path / name)
    if name == "chief":
        (folder / "utils" / "utils.py").write_text("import a_package_that_nobody_has\n")
        module = "a_package_that_nobody_has"
    else:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=f"{name} .*{module}.*{remedy}"):
        make(name, tmp_path)


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("name", pretrained_names())
def test_weights_that_are_damaged_or_of_another_model(name: str, tmp_path: Path) -> None:
    folder = write_weights(name, tmp_path / name)
    (file,) = folder.glob(PRETRAINED[name].weights)
    file.write_bytes(b"no weights")
    with pytest.raises(WeightsError):
        make(name, tmp_path)
    if file.suffix == ".safetensors":
        save_file({"elsewhere": torch.zeros(2)}, file)
    else:
        torch.save({"model": {"elsewhere": torch.zeros(2)}}, file)
    with pytest.raises(WeightsError, match=f"{name} cannot be loaded|has no weights for"):
        make(name, tmp_path)


@pytest.mark.usefixtures("packages")
def test_a_folder_of_another_model(tmp_path: Path) -> None:
    folder = write_weights("titan", tmp_path / "titan")
    (folder / "config.json").write_text(json.dumps({"model_type": "other"}))
    with pytest.raises(WeightsError, match="is no titan: it has no encode_slide_from_patch_features"):
        make("titan", tmp_path)


@pytest.mark.usefixtures("packages")
def test_a_store_is_embedded_with_places(tmp_path: Path) -> None:
    """`embed` hands over the grid's coords and footprint, and says which weights are meant."""
    store = FeatureStore.open(tmp_path / "lake", create=True)
    grid_id, encoder_id = SPACES["gigapath"].split("/")
    coords = np.stack([np.arange(9) * 506, np.zeros(9)], 1).astype(np.int32)
    tissue = np.full(9, 255, np.uint8)
    facts = {"footprint_level0": [505.73, 505.73]}
    columns = {"tissue": tissue, "blur": tissue}
    store.put_grid("S1", grid_id, coords=coords, columns=columns, attributes=facts, provenance={})
    features = np.random.default_rng(0).normal(size=(9, 1536)).astype(np.float16)
    with store.bag_writer("S1", grid_id, encoder_id, dim=1536) as writer:
        writer.write(features)
        writer.commit({})
    weights = write_weights("gigapath", tmp_path / "weights")
    report = embed(store, aggregator="gigapath", weights=weights, device="cpu")
    assert (report.made, report.failed) == (1, [])
    encoder = create_pretrained("gigapath", space=SPACES["gigapath"], weights=weights, device="cpu")
    block = Block(features, np.ones(9, bool), coords, (505.73, 505.73))
    stored = store.pooled("S1", SPACES["gigapath"], "gigapath")
    np.testing.assert_array_equal(stored.embedding, encoder.encode([block]).embedding)
    assert embed(store, aggregator="gigapath", weights=weights, device="cpu").already == 1
    with pytest.raises(WeightsError, match="needs its own weights"):
        embed(store, aggregator="gigapath", device="cpu")
    with pytest.raises(UsageError, match="mean takes no weights"):
        embed(store, aggregator="mean", weights=weights)
