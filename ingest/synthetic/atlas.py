"""A whole synthetic atlas: slides of several patients, their manifest, labels and truth."""

import csv
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from slidelake.errors import UsageError
from slidelake.ingest.synthetic.layout import SlidePlan, plan_slide
from slidelake.ingest.synthetic.reports import write_reports
from slidelake.ingest.synthetic.slide_file import write_slide
from slidelake.ingest.synthetic.tissues import CLASS_NAMES
from slidelake.ingest.synthetic.truth import Label, label_cells, write_class_map, write_geojson, write_legend

__all__ = ["DEFAULT_SIZE", "SynthReport", "synthesise"]

log = logging.getLogger(__name__)

#: Level-0 (width, height): whole cells of 256 px, and enough of them for 900 labelled patches on six slides.
DEFAULT_SIZE = (5632, 5120)

_SMALLEST, _LARGEST = 1024, 150_000
_SLIDES_A_PATIENT = 2


@dataclass(frozen=True)
class SynthReport:
    """What `synthesise` made: the files, and how many labelled cells each class has."""

    folder: Path
    slides: list[Path]
    manifest: Path
    labels: Path
    patches: dict[str, int]
    patients: int


def _checked(
    slides: int,
    seed: int,
    size: int | tuple[int, int],
    patients: int | None,
    needle: Mapping[str, float] | None,
) -> tuple[int, int, int, dict[str, float]]:
    if slides < 1 or seed < 0:
        raise UsageError(
            f"slides = {slides}, seed = {seed}", remedy="Ask for a slide or more, and a seed from 0."
        )
    width, height = (size, size) if isinstance(size, int) else size
    if not _SMALLEST <= min(width, height) <= max(width, height) <= _LARGEST:
        raise UsageError(
            f"slides of {width} x {height} px cannot be made",
            remedy=f"Choose sides from {_SMALLEST} to {_LARGEST} px.",
        )
    count = -(-slides // _SLIDES_A_PATIENT) if patients is None else patients
    if not 1 <= count <= slides:
        raise UsageError(
            f"{count} patients for {slides} slides", remedy="Choose from one patient to one a slide."
        )
    planted = dict(needle or {})
    for name, share in planted.items():
        if name not in CLASS_NAMES:
            raise UsageError(f"no tissue class {name!r}", remedy=f"Choose from {', '.join(CLASS_NAMES)}.")
        if not 0.0 < share <= 0.2:
            raise UsageError(
                f"needle share {share} of {name}", remedy="Choose a share above 0 and up to 0.2."
            )
    if len(planted) > len(CLASS_NAMES) - 2:
        raise UsageError(
            "nearly every class is a needle", remedy="Leave two classes or more to lie in between."
        )
    return width, height, count, planted


def synthesise(
    out: str | os.PathLike[str],
    *,
    slides: int = 6,
    seed: int = 0,
    size: int | tuple[int, int] = DEFAULT_SIZE,
    patients: int | None = None,
    needle: Mapping[str, float] | None = None,
    threads: int | None = None,
    progress: Callable[..., object] | None = None,
) -> SynthReport:
    """Make `slides` synthetic H&E slides (SVS, 0.499 µm/px) with their truth in the folder `out`.

    The same arguments give the same bytes whatever `threads` (None: one a core). `size` is the side or
    (width, height) in px; `needle` {class: share} lets a class occur in single grid cells alone, with that
    share of the tissue's cells. Writes `<slide_id>.svs`, `manifest.csv`, `labels.csv` (slide, x, y, class,
    share, artefact; cells of 256 px), `reports.csv` (one a patient),
    `truth/<slide_id>.png` and `.geojson`, `truth/classes.json`. Raises
    UsageError where the request cannot be met.
    """
    width, height, count, planted = _checked(slides, seed, size, patients, needle)
    folder = Path(out)
    try:
        (folder / "truth").mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(
            f"{folder} cannot hold the slides: {exc.strerror}", remedy="Choose a folder you may write to."
        ) from exc
    workers = threads or os.cpu_count() or 1
    notify = progress or (lambda event, **fields: None)
    notify("start", total=slides)
    plans: list[SlidePlan] = []
    labels: list[Label] = []
    paths: list[Path] = []
    # Threads, not processes: the kernels and the JPEG encoder hold no GIL, and are compiled once.
    with ThreadPoolExecutor(workers, thread_name_prefix="synth") as pool:
        for number in range(slides):
            patient = number * count // slides
            plan = plan_slide(
                seed=seed, number=number, patient=patient, width=width, height=height, needle=planted
            )
            path = folder / f"{plan.slide_id}.svs"
            write_slide(path, plan, pool, ahead=workers + 1)
            classes = plan.classes
            write_class_map(folder / "truth" / f"{plan.slide_id}.png", classes)
            write_geojson(folder / "truth" / f"{plan.slide_id}.geojson", classes)
            labels += label_cells(plan)
            plans.append(plan)
            paths.append(path)
            log.info("slide synthesised", extra={"slide_id": plan.slide_id})
            notify("slide", slide_id=plan.slide_id)
    write_legend(folder / "truth" / "classes.json")
    _write_manifest(folder / "manifest.csv", plans)
    _write_labels(folder / "labels.csv", labels)
    write_reports(folder / "reports.csv", plans, labels)
    notify("end")
    patches = {name: sum(label.name == name for label in labels) for name in CLASS_NAMES}
    return SynthReport(folder, paths, folder / "manifest.csv", folder / "labels.csv", patches, count)


def _write_manifest(path: Path, plans: list[SlidePlan]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["uri", "slide_id", "patient_id", *plans[0].metadata])
        for plan in plans:
            writer.writerow([f"{plan.slide_id}.svs", plan.slide_id, plan.patient_id, *plan.metadata.values()])


def _write_labels(path: Path, labels: list[Label]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["slide", "x", "y", "class", "share", "artefact"])
        for label in labels:
            writer.writerow([label.slide, label.x, label.y, label.name, f"{label.share:.4f}", label.artefact])
