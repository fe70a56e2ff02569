"""The demo: the main job from start to end, and how well it did, on slides whose truth is known.

Slides are made on the spot (or are the user's own), ingested with two encoders on one grid, embedded,
indexed and searched. With known truth it says how often the ten nearest patches of other patients are
of the query's tissue class, for the texture encoder, for a colour histogram, and for chance.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from slidelake.ingest import RunReport
    from slidelake.services.lake import Lake

ENCODERS = ("stain-texture", "colour-histogram")
#: Nearest neighbours looked at for the precision.
NEIGHBOURS = 10
#: Hits in a row of the picture.
HITS_SHOWN = 8

Say = Callable[[str], Any]
MakeProgress = Callable[[str], AbstractContextManager[Callable[..., None]]]


@dataclass
class DemoResult:
    """What the demo made: the run's report, the pictures, and precision@10 by encoder and tissue class."""

    report: "RunReport"
    pictures: list[Path] = field(default_factory=list)
    precision: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return self.report.exit_code

    def to_dict(self) -> dict[str, Any]:
        return {
            "ok": self.exit_code in (0, 3),
            "exit_code": self.exit_code,
            "pictures": [str(path) for path in self.pictures],
            "precision_at_10": self.precision,
            "report": self.report.to_dict(),
        }


def run_demo(
    out: Path,
    *,
    slides: str | None,
    seed: int,
    workers: int,
    assume_mpp: float | None,
    say: Say,
    progress: MakeProgress,
) -> DemoResult:
    """Run the whole path below the folder `out`; a second run finds the work done and only searches."""
    from slidelake.services.lake import open as open_lake

    truth: pd.DataFrame | None = None
    sources: list[str] = []
    manifest: Path | None = None
    if slides is None:
        folder = out / "slides"
        truth = _make_slides(folder, seed, say, progress)
        manifest = folder / "manifest.csv"
    else:
        sources = [slides]
    lake = open_lake(out / "lake")
    report: RunReport | None = None
    for encoder in ENCODERS:
        with progress(f"ingesting with {encoder}") as watch:
            this = lake.ingest(
                *sources,
                manifest=manifest,
                encoder=encoder,
                workers=workers,
                assume_mpp=assume_mpp,
                sync_index=False,
                progress=watch,
            )
        report = report or this
    assert report is not None  # ENCODERS is not empty
    spaces = {name: lake.store.resolve_space(name) for name in ENCODERS} if lake.store.spaces() else {}
    if not spaces:
        return DemoResult(report)
    for space in spaces.values():
        lake.embed(aggregator="mean", space=space)
    if truth is not None:
        lake.add_reports(out / "slides" / "reports.csv", sync_index=False)
    with progress("indexing") as watch:
        lake.index.sync(progress=watch)
    result = DemoResult(report)
    if truth is not None:
        result.precision = _precision(lake, spaces, truth, seed)
    result.pictures = _pictures(lake, spaces["stain-texture"], truth, out)
    return result


def _make_slides(folder: Path, seed: int, say: Say, progress: MakeProgress) -> "pd.DataFrame":
    import pandas as pd

    from slidelake.ingest.synthetic import synthesise

    stamp = folder / f".seed-{seed}"
    if not stamp.exists():
        with progress("synthesising slides") as watch:
            synthesise(folder, slides=6, seed=seed, progress=watch)
        stamp.touch()
    else:
        say(f"slides of an earlier run are used: {folder}")
    return pd.read_csv(folder / "labels.csv")


def _labelled(lake: "Lake", space: str, truth: "pd.DataFrame") -> "tuple[np.ndarray, pd.DataFrame]":
    """Features (n, D) float32 of the patches whose class is known; their slide, x, y, class, patient."""
    import pandas as pd

    features, rows = [], []
    patients = lake.slides.set_index("slide_id")["patient_id"]
    for slide_id, known in truth.groupby("slide", sort=True):
        if slide_id not in patients.index:
            continue
        bag = lake.bag(str(slide_id), space)
        place = pd.DataFrame(bag.coords[:], columns=["x", "y"])
        place["row"] = np.arange(len(place))
        found = known.merge(place, on=["x", "y"])
        found = found[np.asarray(bag.valid[:])[found["row"]] == 1]
        features.append(np.asarray(bag.features[:])[found["row"]].astype(np.float32))
        rows.append(found.assign(patient=patients[slide_id]))
    return np.concatenate(features), pd.concat(rows, ignore_index=True)


def _precision(
    lake: "Lake", spaces: dict[str, str], truth: "pd.DataFrame", seed: int
) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for name, space in spaces.items():
        features, rows = _labelled(lake, space, truth)
        labels, patients = rows["class"].to_numpy(), rows["patient"].to_numpy()
        table[name] = _by_class(features, labels, patients)
    noise = np.random.default_rng(seed).standard_normal((len(labels), 64)).astype(np.float32)
    table["random"] = _by_class(noise, labels, patients)
    return table


def _by_class(features: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> dict[str, float]:
    from slidelake.index import retrieval_scores

    scores = retrieval_scores(features, labels, groups=patients, k=NEIGHBOURS)
    table = scores.precision_by_label()
    # The mean over classes, so that a common tissue does not hide a rare one.
    return {**table, "mean of classes": float(np.mean(list(table.values())))}


def _pictures(lake: "Lake", space: str, truth: "pd.DataFrame | None", out: Path) -> list[Path]:
    from slidelake.services.contact_sheet import Row, draw_contact_sheet

    queries = _queries(lake, space, truth)
    classes = {}
    if truth is not None:
        classes = {
            (r.slide, r.x, r.y): r.tissue for r in truth.rename(columns={"class": "tissue"}).itertuples()
        }
    several_patients = lake.slides["patient_id"].nunique() > 1
    rows = []
    for slide_id, x, y in queries:
        hits = lake.search(
            slide=slide_id, at=(x, y), space=space, k=HITS_SHOWN, exclude_same_patient=several_patients
        )
        rows.append(Row(slide_id, x, y, list(hits), classes))
    sheet = draw_contact_sheet(rows, lake.store, space, out / "similar_patches.png")
    first = queries[0]
    result = lake.search(slide=first[0], at=first[1:], space=space, exclude_same_patient=several_patients)
    gallery = result.save(out / "gallery")
    return [sheet, gallery["png"], gallery["html"]]


def _queries(lake: "Lake", space: str, truth: "pd.DataFrame | None") -> list[tuple[str, int, int]]:
    """One query a tissue class where the truth is known, else the fullest patch of up to eight slides."""
    if truth is not None:
        _, rows = _labelled(lake, space, truth)
        # The middle one of a class's patches: no picking of good examples.
        return [
            (str(r["slide"]), int(r["x"]), int(r["y"]))
            for _, group in rows.groupby("class", sort=True)
            for r in [group.iloc[len(group) // 2]]
        ]
    grid_id = space.split("/")[0]
    chosen = []
    for slide_id in lake.store.slide_ids()[:8]:
        grid = lake.store.grid(slide_id, grid_id)
        bag = lake.bag(slide_id, space)
        share = np.where(np.asarray(bag.valid[:]) == 1, np.asarray(grid.columns["tissue"][:]), 0)
        if len(share) and share.max() > 0:
            x, y = np.asarray(grid.coords[:])[int(share.argmax())]
            chosen.append((slide_id, int(x), int(y)))
    return chosen
