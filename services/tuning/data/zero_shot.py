"""Labelled patches → multiple choice about each: what zero-shot models are asked, and compared by.

A folder a class (`folder/CLASS/*.png`), or a table of labels of a folder's images. Every item has all
classes as choices (or `letters` of them), in an order of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slidelake.errors import UsageError
from slidelake.services.tuning.data.assemble import Assembly, assemble
from slidelake.services.tuning.data.choices import lettered, one_of, plain, with_distractors
from slidelake.services.tuning.data.files import new_bytes
from slidelake.services.tuning.data.image_checks import ImageDuplicates, open_image
from slidelake.services.tuning.data.patch_labels import class_name
from slidelake.services.tuning.data.pipeline import Item, Made
from slidelake.services.tuning.data.request import DataRequest
from slidelake.services.tuning.data.row import Evidence, TuningRow, Turn, row_id
from slidelake.services.tuning.data.verify import Resolver

__all__ = ["LabelledImage", "ZeroShotOptions", "image_resolver", "labelled_images", "make_zero_shot_data"]

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
#: More classes than this are drawn from rather than listed.
_ALL = 10
_ASKS = (
    "Which of these does this patch of tissue show?",
    "What is shown in this histology image?",
    "Which class does this patch belong to?",
)
_ABOUT = (
    "Multiple-choice questions about labelled patches, for zero-shot evaluation or tuning: one right"
    " class among letters"
    " in an order of its own. Pictures are copies of the labelled files."
)


@dataclass(frozen=True)
class LabelledImage:
    """A file below the labelled folder, its class as people say it, and whose tissue it is."""

    name: str
    label: str
    patient_id: str


@dataclass(frozen=True)
class ZeroShotOptions:
    """`names` says classes in other words. `patient_pattern` finds the patient in a file's name (its first
    group); where
    there is none, each file is its own patient, and near copies of one patch may end up in two splits.
    `letters` choices
    an item (None: all classes, up to 10). `near_bits`: pictures whose hashes differ in at most so many of 64 bits are
    one; -1 keeps all but equal files."""

    names: Mapping[str, str] = field(default_factory=dict)
    patient_pattern: str = ""
    letters: int | None = None
    labels: Path | None = None
    near_bits: int = -1

    def __post_init__(self) -> None:
        if self.letters is not None and not 2 <= self.letters <= 26:
            raise UsageError(f"{self.letters} choices cannot be", remedy="Give 2 to 26 letters.")
        try:
            groups = re.compile(self.patient_pattern).groups
        except re.error as exc:
            raise UsageError(
                f"the patient pattern {self.patient_pattern!r} is no regular expression ({exc})",
                remedy=r"Write for example '^(\d+)_'.",
            ) from exc
        if self.patient_pattern and groups != 1:
            raise UsageError(
                f"the patient pattern {self.patient_pattern!r} has {groups} groups",
                remedy=r"Put brackets around the patient alone: '^(\d+)_'.",
            )


def labelled_images(folder: Path, options: ZeroShotOptions) -> list[LabelledImage]:
    """The labelled images, by name: of `folder/CLASS/`, or of the table `options.labels` (columns image, class).

    Raises UsageError for a folder that is not there, without images, with one class only, for two classes that are said
    alike, and for a table that lacks a column.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", remedy="Give a folder with a folder a class.")
    named = list(_of_table(options.labels) if options.labels else _of_folders(folder))
    if not named:
        raise UsageError(
            f"{folder} has no labelled image", remedy="Put images into folders named after classes."
        )
    said: dict[str, str] = {}
    for _, raw in named:
        told = plain(class_name(raw, options.names))
        if said.setdefault(told, raw) != raw:
            raise UsageError(
                f"the classes {said[told]} and {raw} are both called {told!r}",
                remedy="Tell them apart with --name.",
            )
    unknown = set(options.names) - {raw for _, raw in named}
    if unknown:
        raise UsageError(
            f"there is no class {', '.join(sorted(unknown))}",
            remedy=f"The classes are {', '.join(sorted(set(said.values())))}.",
        )
    if len(said) < 2:
        raise UsageError(
            f"{folder} has one class, {next(iter(said.values()))}",
            remedy="Give patches of two classes at least.",
        )
    pattern = re.compile(options.patient_pattern) if options.patient_pattern else None
    found = []
    for name, raw in sorted(named):
        stem = Path(name).name
        match = pattern.search(stem) if pattern else None
        if pattern and match is None:
            raise UsageError(
                f"the patient pattern {options.patient_pattern!r} finds no patient in {stem}",
                remedy="Give a pattern that fits every file's name.",
            )
        patient = match[1] if match else f"{folder.name}/{name}"
        found.append(LabelledImage(name, class_name(raw, options.names), patient))
    return found


def make_zero_shot_data(
    folder: Path,
    request: DataRequest,
    options: ZeroShotOptions,
    *,
    progress: Callable[..., None] | None = None,
) -> dict[str, Any]:
    """Writes the items into `request.out`, their pictures into its images/; returns what counts.json says.

    Raises UsageError as `labelled_images` does; pictures that cannot be read are dropped and counted.
    """
    if request.writer is not None:
        raise UsageError("labelled patches need no generator", remedy="Leave out --generator.")
    images = labelled_images(folder, options)
    classes = sorted({each.label for each in images})
    told = {
        "source": folder.name, "classes": classes, "patients": options.patient_pattern or "each file",
        "letters": options.letters, "near_bits": options.near_bits,
    }  # fmt: skip
    run = request.run("vqa", told)
    if progress is not None:
        progress("start", total=len(images))
    with run.held():
        made = run.step(
            "items",
            _items(folder, images, options),
            lambda each: _made(run.folder, folder, each, classes, request, options),
            shard=256,
            progress=progress,
        )
        plan = Assembly(split=request.split, lance=request.lance, about=_ABOUT)
        return assemble(run, (made,), plan)


def image_resolver(folder: Path) -> Resolver:
    """Looks evidence of the kind image up in the data set's folder: what is wrong with it, or ""."""

    def resolve(evidence: Evidence) -> str:
        from slidelake.services.tuning.data.image_checks import place_of_image

        place = place_of_image(folder, evidence.source)
        if place is None or not place.is_file():
            return "its image is not in the data set"
        same = hashlib.sha256(place.read_bytes()).hexdigest() == evidence.sha256
        return "" if same else "its image has changed"

    return resolve


def _of_folders(folder: Path) -> Iterator[tuple[str, str]]:
    for place in sorted(folder.iterdir()):
        if place.is_dir() and not place.name.startswith("."):
            for path in sorted(place.rglob("*")):
                if path.suffix.lower() in _SUFFIXES and path.is_file():
                    yield path.relative_to(folder).as_posix(), place.name


def _of_table(path: Path) -> Iterator[tuple[str, str]]:
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, UnicodeDecodeError, ValueError) as exc:
        raise UsageError(f"{path} cannot be read as CSV ({exc})", remedy="Give a table of labels.") from exc
    label = next((name for name in ("class", "label") if name in table.columns), "")
    if "image" not in table.columns or not label:
        raise UsageError(
            f"{path} lacks the column {'image' if label else 'class'}; it has {', '.join(table.columns)}",
            remedy="Give image (a path below the folder) and class.",
        )
    for name, raw in zip(table["image"], table[label], strict=True):
        if raw.strip():
            yield name, raw.strip()


Looked = tuple[LabelledImage, str, str]


def _items(folder: Path, images: Sequence[LabelledImage], options: ZeroShotOptions) -> Iterator[Item[Looked]]:
    """Each image with its digest and the rule that drops it."""
    seen = ImageDuplicates(max(options.near_bits, 0))
    files: dict[str, str] = {}
    of_digest: dict[str, set[str]] = defaultdict(set)
    for image in images:
        opened = open_image(folder, image.name)
        rule = opened.refused
        if not rule and opened.pixels is not None:
            of_digest[opened.sha256].add(image.label)
            if opened.sha256 in files:
                rule = "same-image-other-class" if len(of_digest[opened.sha256]) > 1 else "duplicate-image"
            elif options.near_bits >= 0 and seen.find(image.name, opened.pixels, opened.sha256):
                rule = "near-duplicate-image"
            files.setdefault(opened.sha256, image.name)
        yield Item(image.name, f"{opened.sha256}:{rule}", (image, opened.sha256, rule))


def _made(
    out: Path,
    folder: Path,
    looked: Looked,
    classes: Sequence[str],
    request: DataRequest,
    options: ZeroShotOptions,
) -> Made:
    image, digest, rule = looked
    if rule:
        return Made(dropped=Counter({rule: 1}))
    name = row_id("zero-shot", digest, image.name)
    target = f"images/{digest[:20]}{Path(image.name).suffix.lower()}"
    if not (out / target).exists():
        with new_bytes(out / target) as aside:
            aside.write_bytes((folder / image.name).read_bytes())
    asked = one_of(_ASKS, request.seed, name)
    wrong = [each for each in classes if each != image.label]
    if (options.letters or _ALL) >= len(classes):
        made = lettered(asked, image.label, wrong, request.seed, name)
    else:
        letters = options.letters or _ALL
        drawn = with_distractors(
            asked, image.label, wrong, [image.label], request.seed, name, letters=letters
        )
        if drawn is None:
            return Made(dropped={"no-wrong-class": 1})
        made = drawn
    row = TuningRow(
        id=name,
        task="zero-shot-vqa",
        patient_id=image.patient_id,
        turns=(Turn("user", f"<image>\n{made.text}"), Turn("assistant", made.answer)),
        evidence=(Evidence("image", target, quote=image.label, sha256=digest),),
        image_files=(target,),
        kind="closed",
        choices=made.choices,
        made_by={
            "step": "zero-shot",
            "generator": "none",
            "seed": request.seed,
            "image": f"{folder.name}/{image.name}",
        },
        licence=request.licence,
    )
    return Made([row.to_dict()])
