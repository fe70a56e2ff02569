"""Weights files: digest remembered by path, size and time of change; pickles never run."""

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch

from slidelake.encoders.weights import read_state, weights_file, weights_sha256
from slidelake.errors import WeightsError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_digest_is_sha256_and_is_read_once_a_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 1))
    first = weights_sha256(file)
    assert first == hashlib.sha256(b"one").hexdigest()
    # The same size and time: only who reads the file again would see that it holds something else.
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert weights_sha256(file) == first
    os.utime(file, ns=(2, 2))
    assert weights_sha256(file) == hashlib.sha256(b"two").hexdigest()


def test_a_broken_or_unwritable_memory_costs_only_a_reading(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"one")
    memory = cache / "slidelake" / "weights_sha256.json"
    memory.parent.mkdir(parents=True)
    memory.write_text("not json")
    assert weights_sha256(file) == hashlib.sha256(b"one").hexdigest()
    memory.unlink()
    memory.parent.rmdir()
    (cache / "slidelake").write_text("a file where a folder should be")
    assert weights_sha256(file) == hashlib.sha256(b"one").hexdigest()


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    file = tmp_path / "weights.bin"
    file.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError):
        read_state(file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [torch.zeros(3), {"a": 1}, [torch.zeros(1)]])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        read_state(tmp_path / "weights.pth")


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(WeightsError):
        read_state(tmp_path / "weights.safetensors")


def test_paths_that_hold_no_weights(tmp_path: Path) -> None:
    (tmp_path / "weights.txt").write_text("words")
    for path in (tmp_path / "nothing.pth", tmp_path, tmp_path / "weights.txt"):
        with pytest.raises(WeightsError):
            weights_file(str(path))
