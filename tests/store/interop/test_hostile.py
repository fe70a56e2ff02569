"""Files that are damaged, lie, or lead elsewhere: each is refused by name, and costs itself only."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from slidelake.errors import StoreNotWritableError, UsageError
from slidelake.store import FeatureStore
from slidelake.store.interop import guess_format, import_features
from tests.store.interop import peers


def _with(change: Callable[[Any, Path], None]) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        with h5py.File(path, "a") as file:
            change(file, path)

    return act


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _secret(path: Path) -> Path:
    secret = path.parents[3] / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["features"] = np.ones((30, 4), np.float32)
    return secret


def _external_link(file: Any, path: Path) -> None:
    del file["features"]
    file["features"] = h5py.ExternalLink(_secret(path), "features")


def _soft_link(file: Any, path: Path) -> None:
    del file["features"]
    file["features"] = h5py.SoftLink("/coords")


def _external_data(file: Any, path: Path) -> None:
    del file["features"]
    raw = path.parents[3] / "raw"
    raw.write_bytes(b"\x3f" * 480)
    file.create_dataset("features", (30, 4), "f4", external=[(str(raw), 0, 480)])


def _virtual(file: Any, path: Path) -> None:
    del file["features"]
    layout = h5py.VirtualLayout((30, 4), "f4")
    layout[:] = h5py.VirtualSource(_secret(path), "features", (30, 4))
    file.create_virtual_dataset("features", layout)


def _huge(file: Any, path: Path) -> None:
    del file["features"]
    file.create_dataset("features", (1 << 40, 1024), "f4", chunks=(1, 1024), maxshape=(None, 1024))


def _never_written(file: Any, path: Path) -> None:
    file["features"].resize((31, peers.DIM))
    file["coords"].resize((31, 2))


def _never_written_compressed(file: Any, path: Path) -> None:
    del file["features"]
    made = file.create_dataset("features", (30, 4), "f4", chunks=(10, 4), compression="gzip")
    made[:10] = 1


def _objects(file: Any, path: Path) -> None:
    del file["features"]
    file.create_dataset("features", data=["a", "b"], dtype=h5py.string_dtype())


def _nan(file: Any, path: Path) -> None:
    file["features"][17, 3] = np.nan


def _infinite(file: Any, path: Path) -> None:
    file["features"][29, 0] = -np.inf


def _fewer(file: Any, path: Path) -> None:
    file["coords"].resize((29, 2))


def _place(file: Any, path: Path) -> None:
    file["coords"][5] = (1 << 40, 0)


def _text(file: Any, path: Path) -> None:
    file["coords"].attrs["patch_size_level0"] = "large"


def _zero(file: Any, path: Path) -> None:
    file["coords"].attrs["patch_size_level0"] = -512


CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (_truncated, "no HDF5 file that can be read"),
    "empty": (lambda path: path.write_bytes(b"") and None, "no HDF5 file"),
    "external-link": (_with(_external_link), "link to another place"),
    "soft-link": (_with(_soft_link), "link to another place"),
    "external-data": (_with(_external_data), "lies in other files"),
    "virtual": (_with(_virtual), "lies in other files"),
    "huge": (_with(_huge), "claims"),
    "never-written": (_with(_never_written), "never written"),
    "never-written-compressed": (_with(_never_written_compressed), "never written"),
    "objects": (_with(_objects), "not numbers"),
    "nan": (_with(_nan), "row 17"),
    "infinite": (_with(_infinite), "row 29"),
    "fewer": (_with(_fewer), "30 rows of features and 29"),
    "place": (_with(_place), "row 5 of its coords"),
    "text": (_with(_text), "'large', not a number"),
    "zero": (_with(_zero), "cannot be"),
}


def test_one_bad_file_costs_itself_only(store: FeatureStore, tmp_path: Path) -> None:
    job = tmp_path / "job"
    good = peers.features()
    for name, (damage, _) in CASES.items():
        damage(peers.trident(job, name, good))
    peers.trident(job, "zz-good", good)
    report = import_features(store, job, format="trident")
    said = {each.slide_id: each for each in report.outcomes}
    for name, (_, words) in CASES.items():
        assert said[name].state == "refused", name
        assert words in said[name].message, (name, said[name].message)
        assert said[name].file.endswith(f"{name}.h5")
        assert said[name].remedy
    assert store.slide_ids() == ["zz-good"]
    assert report.exit_code == 3
    assert store.objects.list("slides") == [key for key in store.objects.list("slides") if "/zz-good/" in key]


def test_compressed_features_are_read(store: FeatureStore, tmp_path: Path) -> None:
    data = peers.features(300)
    path = peers.trident(tmp_path, "S1", data)
    with h5py.File(path, "a") as file:
        said = dict(file["features"].attrs)
        del file["features"]
        file.create_dataset("features", data=data.astype(">f4"), chunks=(64, 4), compression="gzip")
        file["features"].attrs.update(said)
    import_features(store, path, format="trident")
    assert store.bag("S1").features.tobytes() == data.tobytes()


def test_what_is_asked_wrongly(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no"):
        import_features(store, tmp_path / "nowhere", format="trident")
    with pytest.raises(UsageError, match="trident, clam, stamp, atlaspatch"):
        import_features(store, tmp_path, format="qupath")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "S1.h5").write_bytes(b"not HDF5")
    with pytest.raises(UsageError, match="of a format that is known"):
        guess_format(tmp_path / "strange")
    (tmp_path / "empty").mkdir()
    assert guess_format(tmp_path / "empty") is None
    assert import_features(store, tmp_path / "empty").exit_code == 4
    assert import_features(store, tmp_path / "empty", format="clam").exit_code == 4
    peers.trident(tmp_path / "mixed", "S1", peers.features())
    peers.stamp(tmp_path / "mixed" / "S2.h5", peers.features(), **peers.STAMP_24)
    with pytest.raises(UsageError, match="stamp, trident"):
        guess_format(tmp_path / "mixed")


def test_a_store_that_cannot_be_written_ends_the_run(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers.trident(tmp_path / "job", "S1", peers.features())

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise StoreNotWritableError("read-only", remedy="Mend it.")

    monkeypatch.setattr(store, "put_grid", refuse)
    with pytest.raises(StoreNotWritableError):
        import_features(store, tmp_path / "job", format="trident")
