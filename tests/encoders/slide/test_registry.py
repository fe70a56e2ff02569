"""Slide encoders to train, by name: ours, a lab's by its entry point, and what is refused."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
import torch

from slidelake.encoders.slide import create_slide_model, registry, slide_model_names
from slidelake.encoders.slide.testing import LearnsPlantedRows, SlideModelTests
from slidelake.errors import EncoderError, MissingDependencyError, UnknownAggregatorError, UsageError
from slidelake.store import FeatureStore
from tests.readme_commands import python_blocks
from tests.repository import ROOT, environment
from tests.store.streaming.conftest import fill

README = (ROOT / "encoders/slide/README.md").read_text(encoding="utf-8")
LAB = "tests.encoders.slide.lab_model"


@pytest.fixture
def entry_points(monkeypatch):
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(points).select(group=group))
    return points


def test_the_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(FeatureStore.open("lake", create=True))
    names: dict[str, Any] = {"__name__": "readme"}
    for block in python_blocks(README):
        exec(compile(block.text, "README.md", "exec"), names)
    assert names["loss"].isfinite()
    assert names["output"].losses
    assert names["checkpoint"].task["classes"] == ["high", "low"]
    assert issubclass(names["TestProjectedMean"], SlideModelTests)


def test_the_readme_names_every_slide_encoder():
    table = README.partition("## Training one")[0]
    assert [name for name in slide_model_names() if f"`{name}`" not in table] == []


class TestTheReadmesOwn(SlideModelTests, LearnsPlantedRows):
    """What the README's recipe ends in, as a lab's package would offer it."""

    name = "projected-mean"
    shift = 40.0
    attention_share = 0.0

    @pytest.fixture(autouse=True)
    def _offered(self, entry_points):
        entry_points.append(EntryPoint(self.name, f"{LAB}:ProjectedMean", registry.ENTRY_POINT_GROUP))


def test_it_is_the_readmes_word_for_word():
    file = (ROOT / "tests/encoders/slide/lab_model.py").read_text(encoding="utf-8")
    assert sum(block.text in file for block in python_blocks(README)) == 1


def test_an_entry_point_that_does_not_load_says_so(entry_points):
    entry_points.append(EntryPoint("gone", "gone_package:Model", registry.ENTRY_POINT_GROUP))
    assert "gone" in slide_model_names()
    with pytest.raises(
        MissingDependencyError, match="slide encoder 'gone' cannot be loaded from gone_package"
    ):
        create_slide_model("gone", dim=4, outputs=2)


@pytest.mark.parametrize("name", ["abmil", "theirs"])
def test_two_packages_with_one_name_are_refused(entry_points, name):
    entry_points += [
        EntryPoint(name, f"{LAB}:ProjectedMean", registry.ENTRY_POINT_GROUP),
        EntryPoint(name, f"{LAB}:Other", registry.ENTRY_POINT_GROUP),
    ]
    with pytest.raises(EncoderError, match=f"two installed packages offer a slide encoder named '{name}'"):
        slide_model_names()


def test_names_and_sizes_that_cannot_be():
    with pytest.raises(
        UnknownAggregatorError, match=r"'abmill'.*Did you mean abmil\? Use one of: abmil, abmilx, acmil"
    ):
        create_slide_model("abmill", dim=4, outputs=2)
    with pytest.raises(
        UsageError, match=r"no option 'hiden'.*Did you mean hidden\? It takes: hidden, branches"
    ):
        create_slide_model("abmil", dim=4, outputs=2, hiden=3)
    with pytest.raises(UsageError, match=r"mean has no option 'hidden'\. It takes: none"):
        create_slide_model("mean", dim=4, outputs=2, hidden=3)
    with pytest.raises(UsageError, match="dim is 0"):
        create_slide_model("mean", dim=0, outputs=2)
    with pytest.raises(UsageError, match=r"outputs is 2\.0"):
        create_slide_model("mean", dim=4, outputs=2.0)
    with pytest.raises(UsageError, match=r"abmil: dropout is 1\. Give a number of at least 0 and below 1"):
        create_slide_model("abmil", dim=4, outputs=2, dropout=1)


def test_the_generator_of_torch_draws_the_weights():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in create_slide_model("abmil", dim=4, outputs=2).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_mean_and_max_embeddings_do_without_torch():
    code = """
import sys
import numpy as np
from slidelake.encoders.slide import Block, aggregator_names, create_aggregator, slide_model_names
for name in aggregator_names():
    encoder = create_aggregator(name, encoder_id="x.0123abcd")
    encoder.encode([Block(np.ones((3, 2), np.float16), np.ones(3, bool))]), encoder.spec.aggregator_id
slide_model_names()
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
