"""Encoders by name: ours, entry points, module:factory, and what is said of a name that nobody knows."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from slidelake.encoders import (
    PatchEncoder,
    create_encoder,
    describe_encoders,
    encoder_names,
    register,
    registry,
)
from slidelake.encoders.testing import PatchEncoderTests
from slidelake.errors import EncoderError, MissingDependencyError, UnknownEncoderError, UsageError
from tests.encoders.lab_encoder import MeanColour, create

LAB = "tests.encoders.lab_encoder"


class TestLabEncoder(PatchEncoderTests):
    name = f"{LAB}:create"


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(points).select(group=group))
    return points


def test_names_are_sorted_and_ours_are_there() -> None:
    names = encoder_names()
    assert names == sorted(names)
    assert {"stain-texture", "colour-histogram", "timm:<model>"} <= set(names)


def test_descriptions_agree_with_the_encoders_made() -> None:
    for info in describe_encoders():
        assert info.description
        if info.name in ("stain-texture", "colour-histogram"):
            spec = create_encoder(info.name).spec
            assert (spec.dim, spec.input_px, spec.licence) == (info.dim, info.input_px, info.licence)
            assert info.available


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnknownEncoderError) as caught:
        create_encoder("stain-textur")
    for name in encoder_names():
        assert name in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "name", ["no_such_module:create", f"{LAB}:no_such", f"{LAB}:NOT_A_FUNCTION", "timm:", ":x"]
)
def test_module_factory_that_is_not_there(name: str) -> None:
    with pytest.raises(UnknownEncoderError):
        create_encoder(name)


def test_module_factory() -> None:
    assert isinstance(create_encoder(f"{LAB}:create"), MeanColour)


def test_factory_that_makes_no_encoder_is_told() -> None:
    with pytest.raises(EncoderError, match="no spec"):
        create_encoder(f"{LAB}:create_nothing")


def test_option_that_the_encoder_does_not_take() -> None:
    with pytest.raises(UsageError, match="colour"):
        create_encoder("stain-texture", colour="blue")


def test_second_registration_of_a_name_raises() -> None:
    create_encoder("colour-histogram")

    def mine(*, weights: str | None = None, device: str = "auto") -> PatchEncoder:
        return MeanColour()

    with pytest.raises(ValueError, match="registered already"):
        register("colour-histogram")(mine)
    assert create_encoder("colour-histogram").spec.name == "colour-histogram"


def test_entry_point_is_found_described_and_made(entry_points: list[EntryPoint]) -> None:
    entry_points.append(EntryPoint("lab-mean", f"{LAB}:create", "slidelake.encoders"))
    assert "lab-mean" in encoder_names()
    assert isinstance(create_encoder("lab-mean"), MeanColour)


def test_entry_point_that_does_not_load_says_so(entry_points: list[EntryPoint]) -> None:
    entry_points.append(EntryPoint("lab-gone", "gone_package:create", "slidelake.encoders"))
    assert "lab-gone" in encoder_names()
    with pytest.raises(MissingDependencyError, match="gone_package"):
        create_encoder("lab-gone")


@pytest.mark.parametrize("name", ["stain-texture", "lab-mean"])
def test_two_packages_with_one_name_are_refused(entry_points: list[EntryPoint], name: str) -> None:
    entry_points += [
        EntryPoint(name, f"{LAB}:{factory}", "slidelake.encoders") for factory in ("create", "other")
    ]
    with pytest.raises(EncoderError, match="two installed packages"):
        create_encoder("lab-mean")


def test_importing_encoders_stays_light() -> None:
    script = (
        "import sys, slidelake.encoders as e; e.encoder_names(); "
        "print([m for m in ('torch', 'timm', 'numba', 'cv2', 'zarr', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "[]"


def test_lab_factory_follows_the_protocol() -> None:
    assert isinstance(create(), PatchEncoder)
