"""Image–text pairs made clean: rules in order, each with its count; what is left becomes rows with their evidence.

After PA-LLaVA's cleaning: pairs that are not of pathology go (a gate on the text, and on the picture where it is at
hand), then those of animals, short captions, and what repeats another text or picture. What is looked at
alone (margins,
pictures) is a step that can resume; the rules that compare pairs go through all of them in their order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.errors import UsageError
from slidelake.services.tuning.data.choices import lettered, one_of, plain
from slidelake.services.tuning.data.duplicates import Duplicates
from slidelake.services.tuning.data.files import json_line, new_bytes
from slidelake.services.tuning.data.human import animal_in
from slidelake.services.tuning.data.image_checks import (
    ImageDuplicates,
    image_hash,
    open_image,
    place_of_image,
    stained_share,
)
from slidelake.services.tuning.data.pairs import Pair, read_pairs
from slidelake.services.tuning.data.pathology_gate import LEAST_MARGIN, PathologyGate, said_of_picture
from slidelake.services.tuning.data.pipeline import Item, Made, Run, Step
from slidelake.services.tuning.data.row import Evidence, TuningRow, Turn, row_id

if TYPE_CHECKING:
    from slidelake.services.tuning.data.pathology_gate import PathologyGate as Gate

__all__ = ["RULES", "CleaningOptions", "clean", "number_of_batches", "tidy"]

#: In the order in which they are asked; a pair is dropped by the first.
RULES = (
    "no-text", "too-long", "duplicate-id", "answer-not-among-choices", "image-path-refused", "image-missing",
    "image-unreadable", "image-too-small", "not-pathology-text", "not-pathology-image", "not-human", "short-caption",
    "image-of-another-patient", "near-duplicate-image", "exact-duplicate-text", "near-duplicate-text",
)  # fmt: skip
#: Pictures whose texts are put through the encoder at a time.
_BATCH = 64
#: The largest text that any rule looks at, in characters: what is longer is no caption whatever it says.
_CHARACTERS = 100_000
#: [x0, y0, x1, y1] in shares of the picture: places that a speaker pointed at.
_BOX = re.compile(r"\s*\[\s*[01]?\.\d+(?:\s*,\s*[01]?\.?\d+){3}\s*\]\s*,?")
_ASKS = (
    "Describe this image.",
    "What does this patch of tissue show?",
    "Write a caption for this histology image.",
    "Summarise what can be seen here.",
    "Which findings does this field hold?",
)


@dataclass(frozen=True)
class CleaningOptions:
    """What the rules go by.

    `images` is the folder that pictures are named in; without it pictures are not looked at. `least_words` and
    `most_words` are of captions; `least_margin` of the text gate; `least_stained` the share of a picture that must look
    stained with haematoxylin and eosin: 0.05 keeps fat and sparse tissue, and a picture of another stain if its
    counterstain is haematoxylin. `near` is the Jaccard similarity above which a text repeats another, `near_bits` how
    many of 64 bits two pictures' hashes may differ in.
    """

    images: Path | None = None
    least_words: int = 20
    most_words: int = 1000
    least_margin: float = LEAST_MARGIN
    least_stained: float = 0.05
    near: float = 0.8
    near_bits: int = 6
    shape: str | None = None
    licence: str = ""

    def __post_init__(self) -> None:
        if self.images is not None and not self.images.is_dir():
            raise UsageError(f"there is no folder {self.images}", remedy="Name the folder of the pictures.")
        if not 0 <= self.least_words < self.most_words:
            raise UsageError(
                f"captions of {self.least_words} to {self.most_words} words cannot be",
                remedy="Give a least number of words of 0 or more, below the most.",
            )
        if not 0 < self.near <= 1 or not 0 <= self.near_bits < 32 or not 0 <= self.least_stained <= 1:
            raise UsageError(
                f"near {self.near}, {self.near_bits} bits and a stained share of {self.least_stained} cannot be",
                remedy="Give near and the share between 0 and 1, and 0 to 31 bits.",
            )

    def to_dict(self) -> dict[str, Any]:
        """All that the outcome depends on, without places of this machine."""
        told = asdict(self)
        told["images"] = "looked at" if self.images else "not looked at"
        return told


def clean(
    run: Run,
    sources: Sequence[Path],
    options: CleaningOptions,
    *,
    gate: Gate | None = None,
    progress: Callable[..., None] | None = None,
) -> tuple[Step, Step]:
    """Reads the pairs of files and puts them through the rules: the steps "look" and "clean" of a run.

    The records of "clean" are rows (`TuningRow.to_dict`) without a split; its `dropped` counts pairs by rule. Pictures
    of kept pairs are copied into the run's images/. Raises UsageError for files that cannot be read.
    """
    made: list[Gate] = [gate] if gate else []

    def look(batch: list[list[Pair]]) -> Made:
        if not made:  # only where something is left to look at
            made.append(PathologyGate())
        return Made(list(_look(batch, options, made[0])))

    looked = run.step("look", _batches(sources, options), look, shard=1, progress=progress)
    cleaned = run.step(
        "clean",
        _ruled(looked, options),
        lambda each: _row(run, options, *each),
        shard=256,
        depends=looked.inputs,
    )
    return looked, cleaned


def tidy(text: str) -> str:
    """A caption as a person would write it: one space between words, no boxes that a speaker pointed at."""
    return " ".join(_BOX.sub(" ", text).split()).strip(" ,")


def number_of_batches(sources: Sequence[Path], options: CleaningOptions) -> int:
    """How many items the step "look" has; reads the files once."""
    return -(-sum(1 for _ in _pictures(sources, options)) // _BATCH)


def _pictures(sources: Sequence[Path], options: CleaningOptions) -> Iterator[list[Pair]]:
    """The pairs of each picture together, where they stand together in their file."""
    pairs = (
        pair for path in sources for pair in read_pairs(path, shape=options.shape, licence=options.licence)
    )
    return (list(group) for _, group in groupby(pairs, key=lambda each: (each.source, each.picture)))


def _batches(sources: Sequence[Path], options: CleaningOptions) -> Iterator[Item[list[list[Pair]]]]:
    pictures = _pictures(sources, options)
    number = 0
    while batch := list(islice(pictures, _BATCH)):
        told = json_line([asdict(pair) for group in batch for pair in group])
        digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        if options.images:
            digest += _stamp(options.images, batch)
        yield Item(f"{number}", digest, batch)
        number += len(batch)


def _stamp(folder: Path, batch: Iterable[list[Pair]]) -> str:
    """Sizes and times of the pictures: where one is put right, it is looked at again."""
    seen = hashlib.sha256()
    for name in dict.fromkeys(pair.image for group in batch for pair in group if pair.image):
        place = place_of_image(folder, name)
        facts = place.stat() if place is not None and place.is_file() else None
        seen.update(f"{name}:{facts and (facts.st_size, facts.st_mtime_ns)}".encode("utf-8", "surrogatepass"))
    return seen.hexdigest()[:16]


def _look(batch: list[list[Pair]], options: CleaningOptions, gate: Gate) -> Iterator[dict[str, Any]]:
    """What each pair is by itself: its record, the margin of what is said of its picture, the picture's measures."""
    said = [said_of_picture(_cut(pair) for pair in group) for group in batch]
    for group, margin in zip(batch, gate.margins(said).tolist(), strict=True):
        image: dict[str, Any] = {}
        if options.images and group[0].image:
            opened = open_image(options.images, group[0].image)
            image = {"refused": opened.refused, "sha256": opened.sha256}
            if opened.pixels is not None:
                image |= {
                    "stained": round(stained_share(opened.pixels), 4),
                    "hash": f"{image_hash(opened.pixels):016x}",
                }
        for pair in group:
            yield {"pair": asdict(pair), "margin": round(margin, 4), "image": image}


def _cut(pair: Pair) -> Pair:
    return replace(pair, text=tidy(pair.text[:_CHARACTERS]), question=pair.question[:_CHARACTERS])


Ruled = tuple[Pair, Mapping[str, Any], float, str]


def _ruled(looked: Step, options: CleaningOptions) -> Iterator[Item[Ruled]]:
    """Each pair with the rule that drops it. What was seen before is kept here, since a step takes all its items."""
    ids: set[tuple[str, str]] = set()
    texts = Duplicates(options.near)
    pictures = ImageDuplicates(options.near_bits)
    kept_images: dict[str, str] = {}
    for record in looked:
        values = dict(record["pair"])
        values["choices"] = tuple(values["choices"])
        values["position"] = tuple(values["position"]) if values["position"] else None
        pair, image = Pair(**values), record["image"]
        rule = _alone(pair, image, record["margin"], options, (pair.source, pair.record) in ids)
        ids.add((pair.source, pair.record))
        if not rule:
            rule = _repeats(pair, image, texts, pictures, kept_images)
        digest = hashlib.sha256(json_line([record, rule]).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        yield Item(f"{pair.source}#{pair.record}", digest, (pair, image, record["margin"], rule))


def _alone(pair: Pair, image: Mapping[str, Any], margin: float, options: CleaningOptions, again: bool) -> str:
    """The first rule that drops a pair for what it is, or ""."""
    text = tidy(pair.text[:_CHARACTERS])
    words = len(text.split())
    if not any(each.isalnum() for each in text):
        return "no-text"
    if words > options.most_words or len(pair.text) >= _CHARACTERS or len(pair.question) >= _CHARACTERS:
        return "too-long"
    if again:
        return "duplicate-id"
    if pair.choices and sum(plain(each) == plain(text) for each in pair.choices) != 1:
        return "answer-not-among-choices"
    if image.get("refused"):
        return str(image["refused"])
    if margin < options.least_margin:
        return "not-pathology-text"
    if image and image["stained"] < options.least_stained:
        return "not-pathology-image"
    # "Is a rabbit's lesion seen? No" is about no rabbit.
    asked = pair.question if text.lower() != "no" else ""
    if animal_in(f"{asked} {text}"):
        return "not-human"
    return "short-caption" if not pair.question and words < options.least_words else ""


def _repeats(
    pair: Pair, image: Mapping[str, Any], texts: Duplicates, pictures: ImageDuplicates, kept: dict[str, str]
) -> str:
    """The rule that drops a pair for what came before it. Questions are compared among those of their picture."""
    name = f"{pair.source}#{pair.record}"
    patient = pair.patient_id.casefold()
    if pair.image and kept.get(pair.image, patient) != patient:
        return "image-of-another-patient"
    group = f"{pair.source}#{pair.picture}" if pair.question else ""
    # Pictures first, kept last: what is dropped for its text must not drop what comes after for its picture, nor the
    # other way round. Several pairs may be about one picture; another picture that shows the same may not.
    seen = not image or pair.image in kept
    if not seen and pictures.nearest(int(image["hash"], 16), image["sha256"]) is not None:
        return "near-duplicate-image"
    found = texts.find(name, f"{pair.question} {tidy(pair.text)}", group)
    if found is not None:
        return f"{found[0]}-duplicate-text"
    if not seen:
        pictures.add(name, int(image["hash"], 16), image["sha256"])
    if pair.image:
        kept[pair.image] = patient
    return ""


def _row(
    run: Run, options: CleaningOptions, pair: Pair, image: Mapping[str, Any], margin: float, rule: str
) -> Made:
    if rule:
        return Made(dropped={rule: 1})
    files: tuple[str, ...] = (pair.image,) if pair.image else ()
    evidence = [pair.evidence()]
    if image and options.images:
        files = (_copy(run.folder, options.images, pair.image, image["sha256"]),)
        evidence.append(Evidence("image", files[0], sha256=image["sha256"]))
    made_by: dict[str, Any] = {"step": "clean", "generator": "none", "seed": run.seed, "margin": margin}
    if pair.position:
        # Which slides these are is not known to the lake: the place is told, and is no picture of the row.
        made_by |= {"slide": pair.slide_id, "position": list(pair.position)}
    name = row_id("clean", pair.source, pair.record, pair.question, pair.text)
    sign = "<image>\n" if files else ""
    text = tidy(pair.text)
    kind, choices = "open", tuple[str, ...]()
    if not pair.question:
        question = one_of(_ASKS, run.seed, name)
    elif pair.choices:
        right = next(each for each in pair.choices if plain(each) == plain(text))
        wrong = [each for each in _distinct(pair.choices) if plain(each) != plain(text)]
        if not wrong:
            return Made(dropped={"answer-not-among-choices": 1})
        asked = lettered(pair.question, right, wrong, run.seed, name)
        question, text, choices, kind = asked.text, asked.answer, asked.choices, "closed"
    else:
        question = pair.question
        if text.lower() in ("yes", "no"):
            kind, choices = "closed", ("yes", "no")
    row = TuningRow(
        id=name,
        task="vqa" if pair.question else "caption",
        patient_id=pair.patient_id,
        turns=(Turn("user", sign + question), Turn("assistant", text)),
        evidence=tuple(evidence),
        image_files=files,
        kind="closed" if kind == "closed" else "open",
        choices=choices,
        made_by=made_by,
        licence=pair.licence,
    )
    return Made([row.to_dict()])


def _distinct(choices: Iterable[str]) -> list[str]:
    """The choices, each thing said once."""
    return list({plain(each): each for each in choices if plain(each)}.values())


def _copy(folder: Path, images: Path, name: str, sha256: str) -> str:
    """The picture's place in the data set, where it is put unless it is there."""
    source = place_of_image(images, name)
    assert source is not None  # open_image found it inside the folder
    suffix = source.suffix.lower() if source.suffix[1:].isalnum() else ""
    target = f"images/{sha256[:20]}{suffix}"
    if not (folder / target).exists():
        with new_bytes(folder / target) as aside:
            aside.write_bytes(source.read_bytes())
    return target
