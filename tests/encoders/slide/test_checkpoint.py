"""Checkpoints: the same model again, the same bytes, and files that are none, refused."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from slidelake.encoders.slide import Checkpoint, create_slide_model, load_checkpoint, save_checkpoint
from slidelake.encoders.slide.abmil import ABMIL
from slidelake.encoders.slide.testing_bags import make_bags
from slidelake.errors import UsageError, WeightsError

SPACE = "256px-0.5mpp/stain-texture.0123abcd"
OPTIONS = {"hidden": 8, "branches": 2, "gated": False, "dropout": 0.25, "projection": 12}
ABOUT = {
    "space": SPACE,
    "task": {"kind": "classification", "column": "grade", "classes": ["low", "high", "µ"]},
    "encoder": {"name": "stain-texture", "version": 3},
    "provenance": {"seed": 7, "snapshot": "v1", "time": "2026-11-21T17:00:00+00:00"},
}


def make_model():
    torch.manual_seed(3)
    return create_slide_model("abmil", dim=24, outputs=3, **OPTIONS).eval()


@pytest.fixture
def saved(tmp_path):
    file = tmp_path / "runs" / "best.safetensors"
    save_checkpoint(file, Checkpoint(make_model(), **ABOUT))
    return file


def test_a_checkpoint_holds_all_that_was_told(saved):
    found = load_checkpoint(saved)
    assert {name: getattr(found, name) for name in ABOUT} == ABOUT
    assert (found.model.name, found.model.dim, found.model.outputs) == ("abmil", 24, 3)
    assert found.model.options == OPTIONS
    assert not found.model.training
    assert len(found.sha256) == 64
    assert load_checkpoint(str(saved)).sha256 == found.sha256
    with torch.no_grad():
        assert torch.equal(found.model(make_bags()).logits, make_model()(make_bags()).logits)
    assert [each.name for each in saved.parent.iterdir()] == ["best.safetensors"]


def test_equal_models_give_equal_bytes_whatever_the_order_of_what_is_told(saved, tmp_path):
    turned = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value
        for name, value in ABOUT.items()
    }
    save_checkpoint(tmp_path / "again", Checkpoint(make_model(), **turned))
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_loading_draws_nothing_from_the_generator_of_torch(saved):
    before = torch.get_rng_state()
    load_checkpoint(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_saving_puts_the_new_one_in_the_place_of_the_old(saved):
    model = make_model()
    with torch.no_grad():
        model.head.bias.fill_(9)
    save_checkpoint(saved, Checkpoint(model, **ABOUT))
    assert (load_checkpoint(saved).model.head.bias == 9).all()


def test_another_space_is_refused_with_both_fingerprints(saved):
    found = load_checkpoint(saved)
    found.check_space(SPACE)
    with pytest.raises(UsageError) as caught:
        found.check_space("256px-0.5mpp/uni2-h.3fa9c1d2", {"name": "uni2-h"})
    for part in (SPACE, '{"name": "stain-texture", "version": 3}', "uni2-h.3fa9c1d2", '{"name": "uni2-h"}'):
        assert part in str(caught.value)
    with pytest.raises(UsageError, match="fingerprint not told"):
        found.check_space("256px-0.5mpp/other.00000000")


@pytest.mark.parametrize("damage", ["short", "flipped weight", "flipped header", "empty", "noise", "longer"])
def test_a_damaged_file_is_refused(saved, damage):
    data = bytearray(saved.read_bytes())
    if damage == "flipped weight":
        data[-50] ^= 1
    elif damage == "flipped header":
        data[0] ^= 8
    whole = {"short": data[:-3], "empty": b"", "noise": b"noise" * 99, "longer": bytes(data) + b"more"}
    saved.write_bytes(whole.get(damage, data))
    with pytest.raises(WeightsError, match=r"best\.safetensors (cannot be read|is damaged)"):
        load_checkpoint(saved)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # of TorchScript itself
@pytest.mark.parametrize("kind", ["pickle", "old pickle", "script"])
def test_files_that_run_code_are_not_opened(tmp_path, kind):
    file = tmp_path / "model.pt"
    if kind == "script":
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(file))
    else:
        torch.save(make_model().state_dict(), file, _use_new_zipfile_serialization=kind == "pickle")
    with pytest.raises(
        WeightsError, match=r"model\.pt cannot be read \(a file of torch\.save or TorchScript"
    ):
        load_checkpoint(file)


def rewrite(file, **changes):
    """The same weights with another description."""
    with safe_open(file, framework="pt") as opened:
        about = json.loads(opened.metadata()["slidelake"])
    about.update(changes)
    kept = {name: value for name, value in about.items() if value is not None}
    save_file(load_file(file), file, metadata={"slidelake": json.dumps(kept)})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, r"no checkpoint that this version reads \(format 2\).*update slidelake"),
        ({"space": None, "task": 3}, "is damaged: its description lacks space, task"),
        ({"options": ["hidden"]}, "is damaged: its description lacks options"),
        ({"model": "abmil9"}, r"cannot be made here: there is no slide encoder to train 'abmil9'"),
        ({"model": "os:system"}, r"cannot be made here: there is no slide encoder to train 'os:system'"),
        ({"options": {"depth": 3}}, r"cannot be made here: abmil has no option 'depth'"),
        ({"options": {"hidden": 9}}, "does not fit abmil"),
        ({"dim": 25}, "does not fit abmil"),
    ],
    ids=str,
)
def test_descriptions_that_do_not_fit_are_refused(saved, changes, says):
    rewrite(saved, **changes)
    with pytest.raises(WeightsError, match=says):
        load_checkpoint(saved)


def test_a_header_whose_length_begins_as_a_pickle_does(tmp_path):
    """Lengths are multiples of 8: without care one file in 32 would be taken for a pickle."""
    first = set()
    for pad in range(0, 264, 8):
        save_checkpoint(tmp_path / "it", Checkpoint(make_model(), SPACE, {}, provenance={"pad": "x" * pad}))
        first.add((tmp_path / "it").read_bytes()[0])
        assert load_checkpoint(tmp_path / "it").space == SPACE
    assert 0x80 in first


def test_other_safetensors_files_are_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError, match="no slidelake metadata"):
        load_checkpoint(tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "nothing.safetensors")


def test_colleagues_may_read_it_as_any_other_file(saved):
    (saved.parent / "other").touch()
    assert saved.stat().st_mode == (saved.parent / "other").stat().st_mode


def test_a_model_that_could_not_be_made_again_is_not_saved(tmp_path):
    with pytest.raises(UsageError, match=r"ABMIL has no name.*create_slide_model"):
        save_checkpoint(tmp_path / "mine", Checkpoint(ABMIL(4, 2), **ABOUT))


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="cannot be written"):
        save_checkpoint(tmp_path / "file" / "best.safetensors", Checkpoint(make_model(), **ABOUT))
