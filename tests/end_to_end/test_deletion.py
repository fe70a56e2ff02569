"""A patient is deleted from a whole lake: every byte, key and table is searched, and the archive is ingested again."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from typer.testing import Result

from slidelake.services.lake import Lake
from slidelake.services.lake import open as open_lake
from slidelake.store import collect_garbage, verify
from tests.repository import environment

PATIENT = "patient-to-be-gone"
LATER = timedelta(days=8)

# An encoder of a lab, at work while the slide is deleted: it has written its rows, and commits late.
_LATE = """
import sys
import numpy as np
from slidelake.errors import SlideDeletedError
from slidelake.store import FeatureStore
store = FeatureStore.open(sys.argv[1])
slide_id = sys.argv[2]
bag = store.bag(slide_id)
rows = bag.features
with store.bag_writer(slide_id, bag.commit.subject.grid_id, "late.00000000", dim=rows.shape[1]) as writer:
    writer.write(rows)
    print("written", flush=True)
    sys.stdin.readline()
    try:
        writer.commit(bag.provenance)
        print("committed", flush=True)
    except SlideDeletedError as error:
        print(f"refused: {error.problem}", flush=True)
"""


@pytest.fixture
def archive(slides: Path, tmp_path: Path) -> Path:
    """The session's slides under names that occur nowhere else; the first two are one patient's."""
    folder = tmp_path / "archive"
    folder.mkdir()
    table = pd.read_csv(slides / "manifest.csv")
    rows = []
    for n, row in enumerate(table.itertuples()):
        name = f"{'leaving' if n < 2 else 'staying'}-{n}{Path(row.uri).suffix}"
        shutil.copy(slides / row.uri, folder / name)
        rows.append({"uri": name, "patient_id": PATIENT if n < 2 else f"other-{n}", "site": "larynx"})
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder


@pytest.fixture
def whole(archive: Path, tmp_path: Path) -> Lake:
    """A lake in which the patient is everywhere."""
    lake = open_lake(tmp_path / "lake")
    lake.ingest(manifest=archive / "manifest.csv")
    lake.ingest(archive / "leaving-0.tiff" if (archive / "leaving-0.tiff").exists() else archive)
    lake.embed()
    lake.index.sync()
    lake.store.metadata.merge(pd.DataFrame({"slide_id": lake.store.slide_ids(), "stage": "II"}))
    lake.index.sync()
    lake.store.snapshots.create("paper")
    assert len(lake.slides) == 4
    return lake


def features_of(lake: Lake) -> NDArray[Any]:
    return np.concatenate([lake.bag(f"leaving-{n}").features for n in (0, 1)])


def traces(lake: Lake, features: NDArray[Any]) -> set[str]:
    """Files whose key, bytes or decoded table hold the patient, the slides, their files' stems, or their features."""
    words = [PATIENT, "leaving-0", "leaving-1"]
    needles = [word.encode() for word in words]
    wide = features.astype(np.float32)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    for rows in (features, wide, unit.astype(np.float16), unit):
        needles += [row.tobytes() for row in rows[:: max(1, len(rows) // 40)]]
    root = Path(lake.store.url)
    found = set()
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if any(word in name for word in words):
            found.add(name)
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".parquet":
                data += json.dumps(pq.read_table(io.BytesIO(data)).to_pylist(), default=str).encode()
            if any(needle in data for needle in needles):
                found.add(f"in {name}")
    if (root / "index").is_dir():
        database = lancedb.connect(str(root / "index"))
        for name in database.list_tables().tables:
            table = database.open_table(name)
            for version in table.list_versions():
                table.checkout(version["version"])
                rows = (
                    table.to_arrow()
                    .drop_columns("vector" if "vector" in table.schema.names else [])
                    .to_pylist()
                )
                if any(word in str(rows) for word in words):
                    found.add(f"version {version['version']} of {name}")
    return found


@pytest.fixture
def late(whole: Lake) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", _LATE, whole.store.url, "leaving-0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    yield process
    process.communicate(timeout=60)


def test_a_patient_leaves_for_good(
    whole: Lake, archive: Path, late: "subprocess.Popen[str]", run: Callable[..., Result]
) -> None:
    features = features_of(whole)
    kept = {n: whole.bag(f"staying-{n}").features for n in (2, 3)}
    assert len(traces(whole, features)) > 50
    assert late.stdout is not None
    assert late.stdin is not None
    assert late.stdout.readline() == "written\n"
    said = json.loads(
        run("delete", "--patient", PATIENT, "--yes", "--json", "--store", whole.store.url).stdout
    )
    assert said["slides"] == ["leaving-0", "leaving-1"]
    assert said["index_rows"] > 0
    late.stdin.write("\n")
    late.stdin.flush()
    assert late.stdout.readline().startswith("refused: ")

    # What may stay until the grace has passed are the marks, and nothing else.
    left = traces(whole, features)
    assert {name for name in left if name.endswith(".json")} == {
        key for key in whole.store.objects.list("commits") if key.endswith("~closed.json")
    }
    assert all(name.startswith("commits/") for name in left)
    assert run("verify", "--deleted", "--store", whole.store.url).exit_code == 0
    collect_garbage(whole.store, now=datetime.now(UTC) + LATER)
    assert traces(whole, features) == set()

    # The archive is ingested again, in every way it can be named.
    (archive / "renamed.tiff").write_bytes(next(archive.glob("leaving-0.*")).read_bytes())
    for how in (
        ("--manifest", archive / "manifest.csv"),
        (archive,),
        tuple(sorted(archive.glob("leaving-*"))),
    ):
        again = run("ingest", *how, "--json", "--store", whole.store.url)
        assert again.exit_code == 0, again.stdout
        counts = json.loads(again.stdout)["counts"]
        assert counts["denied"] >= 2
        assert "made" not in counts
        assert PATIENT not in again.stdout
    run("index", "sync", "--store", whole.store.url)
    assert traces(whole, features) == set()
    assert whole.store.slide_ids() == ["staying-2", "staying-3"]
    for n, before in kept.items():
        np.testing.assert_array_equal(whole.bag(f"staying-{n}").features, before)
    assert verify(whole.store, deep=True).ok

    # Allowed again they come back, in an epoch of their own or in a first one.
    assert run("allow", "--patient", PATIENT, "--store", whole.store.url).exit_code == 0
    assert run("allow", "--patient", PATIENT, "--store", whole.store.url).exit_code == 4
    whole.ingest(manifest=archive / "manifest.csv")
    np.testing.assert_array_equal(features_of(whole), features)
    assert verify(whole.store, deep=True).ok
    assert run("verify", "--deleted", "--store", whole.store.url).exit_code == 0


def test_nobody_is_asked(whole: Lake, run: Callable[..., Result]) -> None:
    store = whole.store.url
    refused = run("delete", "--slide", "leaving-0", "--store", store)
    assert refused.exit_code == 2
    assert run("delete", "--store", store, "--yes").exit_code == 2
    planned = run("delete", "--slide", "LEAVING-0", "--dry-run", "--store", store)
    assert planned.exit_code == 0
    assert "leaving-0" in planned.stdout
    mistyped = run("delete", "--slide", "leavign-0", "--dry-run", "--store", store)
    assert "holds nothing of leavign-0; it would be denied" in " ".join(mistyped.stdout.split())
    assert len(whole.slides) == 4
    assert whole.gc(dry_run=True).removed == {}
    report = whole.delete(slide="never-there")
    assert report.unknown == ["never-there"]
    assert whole.store.denied.find(slide_id="Never-There") == "slide"
    assert run("gc", "--grace", "soon", "--store", store).exit_code == 2
    assert run("gc", "--store", store).exit_code == 0
    assert len(whole.slides) == 4


def test_a_killed_deletion_goes_on(whole: Lake, run: Callable[..., Result]) -> None:
    features = features_of(whole)
    code = "from slidelake.services.cli import main; main()"
    words = ["delete", "--patient", PATIENT, "--yes", "--store", whole.store.url]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], env=environment(), stdout=subprocess.DEVNULL
    )
    while not whole.store.objects.list("denied") and process.poll() is None:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert verify(whole.store).ok
    assert run(*words).exit_code == 0
    collect_garbage(whole.store, now=datetime.now(UTC) + LATER)
    assert traces(whole, features) == set()
    assert run("verify", "--deleted", "--store", whole.store.url).exit_code == 0
