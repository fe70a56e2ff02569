"""Text encoders by name: ours, a lab's, and what is wrong with a name."""

from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from slidelake.encoders.text import create_text_encoder, describe_text_encoders, registry, text_encoder_names
from slidelake.encoders.text.base import TextEncoderSpec
from slidelake.errors import EncoderError, MissingDependencyError, UnknownEncoderError, UsageError


class LabEncoder:
    """What a lab would write: lengths of texts, made unit."""

    def __init__(self, *, device: str = "auto") -> None:
        self.spec = TextEncoderSpec("lab", dim=2, max_tokens=10)

    @property
    def id(self) -> str:
        return self.spec.encoder_id

    @property
    def dim(self) -> int:
        return self.spec.dim

    def encode(self, texts: Any) -> Any:
        rows = np.array([[len(text), 1.0] for text in texts], np.float32).reshape(-1, 2)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def no_encoder(*, device: str = "auto") -> object:
    return object()


def offer(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    made = [EntryPoint(name, value, "slidelake.text_encoders") for name, value in points]
    monkeypatch.setattr(registry, "entry_points", lambda group: made)


def test_a_lab_adds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("lab", f"{__name__}:LabEncoder"))
    assert text_encoder_names() == ["lab", "minilm"]
    encoder = create_text_encoder("lab")
    assert encoder.id.startswith("lab.")
    assert encoder.encode(["abc"]).shape == (1, 2)
    assert [each.name for each in describe_text_encoders()] == ["lab", "minilm"]


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownEncoderError, match="minilmm") as caught:
        create_text_encoder("minilmm")
    assert "Did you mean minilm?" in caught.value.remedy


def test_an_option_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="colour"):
        create_text_encoder("minilm", colour="blue")


@pytest.mark.parametrize(
    ("points", "error"),
    [
        ([("lab", "no_such_module_anywhere:create")], MissingDependencyError),
        ([("lab", f"{__name__}:no_encoder")], EncoderError),
        ([("lab", "a:b"), ("lab", "c:d")], EncoderError),
        ([("minilm", "a:b")], EncoderError),
    ],
)
def test_what_a_package_may_get_wrong_is_said(
    monkeypatch: pytest.MonkeyPatch, points: list[tuple[str, str]], error: type[EncoderError]
) -> None:
    offer(monkeypatch, *points)
    with pytest.raises(error):
        create_text_encoder("lab")


def test_a_name_is_registered_once() -> None:
    registry.text_encoder_names()
    with pytest.raises(ValueError, match="registered already"):
        registry.register("minilm", dim=1)(LabEncoder)
