"""The doctor answers on every machine: whatever is absent or broken is a finding, never a crash."""

import json
import sys

import pytest

from slidelake.services.doctor import Check, examine
from slidelake.store import FeatureStore

MACHINE = [
    "Python", "cores", "memory", "disk", "OpenSlide", "torch", "GPU", "Triton", "kernels",
    "zarr", "LanceDB", "Ray", "timm", "S3", "imagecodecs",
]  # fmt: skip
MODULES = {
    "OpenSlide": "openslide", "torch": "torch", "Triton": "triton", "zarr": "zarr", "LanceDB": "lancedb",
    "Ray": "ray", "timm": "timm", "S3": "s3fs", "imagecodecs": "imagecodecs", "memory": "psutil",
}  # fmt: skip


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def test_this_machine():
    checks = examine()
    assert [check.name for check in checks] == MACHINE
    found = by_name(checks)
    for name in ("Python", "OpenSlide", "torch", "kernels", "zarr", "LanceDB"):
        assert found[name].status == "ok", found[name]
    assert found["Python"].found.startswith(".".join(map(str, sys.version_info[:3])))
    for check in checks:
        assert check.found
        assert check.status in ("ok", "missing", "warning")
        # What is wrong comes with what to do, in a whole sentence.
        assert check.status == "ok" or check.remedy.endswith("."), check
    json.dumps([vars(check) for check in checks])


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_is_not_installed(name, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[name], None)  # import then fails as where it is not installed
    found = by_name(examine())
    assert list(found) == MACHINE
    assert found[name].status in ("missing", "warning")
    assert found[name].remedy


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"memory", "torch"}))
def test_what_is_broken(name, monkeypatch, tmp_path):
    module = MODULES[name]
    (tmp_path / f"{module}.py").write_text("raise RuntimeError('operator nms does not exist\\nmore')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for loaded in [each for each in sys.modules if each.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    check = by_name(examine())[name]
    assert check.status in ("missing", "warning")
    assert "operator nms does not exist" in check.found
    assert "more" not in check.found
    assert check.remedy


def test_a_store(tmp_path):
    FeatureStore.open(tmp_path / "lake", create=True)
    before = sorted(path.name for path in (tmp_path / "lake").rglob("*"))
    found = by_name(examine(str(tmp_path / "lake")))
    assert found["store"].status == "ok"
    assert "format 1" in found["store"].found
    assert found["store: hard links"] == Check("store: hard links", "ok", "yes")
    assert found["store: put if absent"] == Check("store: put if absent", "ok", "hard link")
    assert str(tmp_path / "lake") in found["disk"].found
    assert sorted(path.name for path in (tmp_path / "lake").rglob("*")) == before


def test_a_store_in_memory():
    FeatureStore.open("memory://doctor", create=True)
    found = by_name(examine("memory://doctor"))
    assert found["store"].status == "ok"
    assert found["store: put if absent"].found == "conditional put"
    assert "store: hard links" not in found


def test_no_store_yet(tmp_path):
    found = by_name(examine(str(tmp_path / "a" / "lake")))
    assert found["store"].remedy == "slidelake ingest makes it."
    assert not (tmp_path / "a").exists()
    assert str(tmp_path) in found["disk"].found


def test_not_a_store(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "is a file" in by_name(examine(str(tmp_path / "file")))["store"].found
    found = by_name(examine(str(tmp_path)))
    assert found["store"].status == "warning"
    assert "is not a store" in found["store"].found
    assert "--store" in found["store"].remedy
    assert not any(name.startswith("store: ") for name in found)  # nothing was written to find out
    assert by_name(examine("nosuch://bucket"))["store"].status == "warning"
