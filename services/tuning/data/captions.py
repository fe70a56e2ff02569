"""Representative patches → describe → revise → summarise → captions, and questions about the same patches.

After PathGen-1.6M, whose describing and revising models are a generator here, or rules: what labels,
labelled neighbours,
measures of the pixels and the patient's reports hold. Whatever a generator writes, what none of these holds goes.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import SlidelakeError, UsageError
from slidelake.services.tuning.data.assemble import Assembly, assemble
from slidelake.services.tuning.data.choices import one_of
from slidelake.services.tuning.data.describe import (
    Finding,
    ReportFacts,
    describe,
    facts_of_reports,
    findings_of_patch,
)
from slidelake.services.tuning.data.generator import Generator, Prompt, reply_problem
from slidelake.services.tuning.data.patch_labels import LabelledPatches, Neighbours, Place, drawn_classes
from slidelake.services.tuning.data.patch_measures import measure_patch
from slidelake.services.tuning.data.pipeline import Item, Made
from slidelake.services.tuning.data.questions import questions_of
from slidelake.services.tuning.data.report_cases import cases_of
from slidelake.services.tuning.data.request import DataRequest
from slidelake.services.tuning.data.revise import revise, reviser_rows
from slidelake.services.tuning.data.row import Evidence, PatchPlace, TuningRow, Turn, row_id
from slidelake.services.tuning.data.summarise import MOST_TOKENS, summarise
from slidelake.services.tuning.data.tokens import TOKENIZER
from slidelake.services.tuning.data.vocabulary import held_by

if TYPE_CHECKING:
    from slidelake.services.gallery.pixels import Pixels
    from slidelake.services.lake import Lake

__all__ = ["CaptionOptions", "make_caption_data", "rows_of_slide"]

RULES_VERSION = "caption-rules-1"
_PROMPT_VERSION = "caption-describe-1"
_ASKS = (
    "Describe this patch of tissue.",
    "What does this patch show?",
    "Write a caption for this patch.",
    "Summarise what can be seen here.",
)
_SYSTEM = (
    "You write one caption for a microscopy patch from a list of findings. Say each finding once, in plain words of"
    " histology, in at most three sentences. Add nothing that is not in the list: no other cells, organs, diagnoses,"
    " sizes or numbers. Answer with the caption alone."
)
_ABOUT = (
    "Captions of representative patches and questions about them. What they say rests on labels, on"
    " labelled patches that"
    " look alike (said as a likeness, never asked about), on measures of the pixels and on spans of the"
    " patient's reports."
    f" Captions have at most {MOST_TOKENS} tokens of {TOKENIZER}."
)


@dataclass(frozen=True)
class CaptionOptions:
    """`count` representative patches a slide; `labels` (slide, x, y) to class; `names` other words for drawn classes.

    `corrupted` rows for a reviser are made from each caption. Without `pictures` rows name patches by place alone and
    slides need not be at hand, but nothing is measured then.
    """

    count: int = 64
    labels: Mapping[Place, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    corrupted: int = 0
    pictures: bool = True

    def to_dict(self) -> dict[str, Any]:
        told = hashlib.sha256(repr(sorted(self.labels.items())).encode()).hexdigest()[:16]
        return {
            "count": self.count, "labels": told if self.labels else "none", "names": dict(self.names),
            "corrupted": self.corrupted, "pictures": self.pictures,
        }  # fmt: skip


@dataclass(frozen=True)
class _Slide:
    slide_id: str
    patient_id: str
    space: str


@dataclass(frozen=True)
class _Cohort:
    """What every slide's patches are told apart from: the voters, and the classes and organs of the whole cohort."""

    neighbours: Neighbours | None
    pools: Mapping[str, Sequence[str]]

    @property
    def voters(self) -> str:
        """A digest of the labelled patches: where one is deleted or encoded anew, no row may rest on what it was."""
        if self.neighbours is None:
            return ""
        known = self.neighbours.labelled
        told = repr((known.places, known.classes.tolist(), known.patients.tolist()))
        return hashlib.sha256(told.encode() + np.ascontiguousarray(known.features).tobytes()).hexdigest()


def make_caption_data(
    lake: Lake,
    request: DataRequest,
    options: CaptionOptions,
    *,
    space: str | None = None,
    progress: Callable[..., None] | None = None,
) -> dict[str, Any]:
    """Writes the data set into `request.out`; returns what counts.json says. A killed run goes on.

    Raises UsageError where no slide has features, UnknownSpaceError, EndpointError where the generator is gone.
    """
    from slidelake.services.gallery.pixels import Pixels

    slides = [
        _Slide(slide_id, case.value.patient_id, case.value.space)
        for case in cases_of(lake, space)
        for slide_id in case.value.slide_ids
    ]
    if not slides:
        raise UsageError(
            "no slide of the lake has features", remedy="Ingest slides first, or name their space by --space."
        )
    space = slides[0].space
    run = request.run("captions", {**options.to_dict(), "space": space, "rules": RULES_VERSION})
    if progress is not None:
        progress("start", total=len(slides))
    with run.held(), Pixels(lake.store, space) as pixels:
        cohort = _cohort(lake, slides, options, request)
        written = run.step(
            "caption",
            _items(lake, slides, options),
            lambda slide: _made(lake, slide, cohort, options, request, pixels),
            # Wrong choices and neighbours come from all slides: where these change, so may every row.
            depends=repr((sorted(cohort.pools.items()), cohort.voters)),
            shard=1,
            progress=progress,
        )
        steps = [written]
        if options.corrupted:
            rows = [TuningRow.read(record) for record in written]
            placed = [replace(row, split=request.split.of(row.patient_id)) for row in rows]
            wrong = list(reviser_rows(placed, seed=request.seed, each=options.corrupted))
            every = [replace(row, split="") for row in (*rows, *wrong)]
            steps.append(
                run.step(
                    "reviser",
                    (Item(row.id, row.id, row) for row in every),
                    lambda row: Made([row.to_dict()]),
                    depends=written.inputs,
                    shard=256,
                )
            )
        plan = Assembly(
            split=request.split,
            rows_per_picture=request.rows_per_picture,
            picture=(lambda place: _jpeg(pixels, place)) if options.pictures else None,
            lance=request.lance,
            about=_ABOUT,
        )
        return assemble(run, tuple(steps), plan, lake.store)


def rows_of_slide(
    lake: Lake,
    slide: _Slide,
    cohort: _Cohort,
    options: CaptionOptions,
    *,
    seed: int,
    pixels: Pixels | None,
    writer: Generator | None = None,
    licence: str = "",
) -> tuple[list[TuningRow], Counter[str]]:
    """The rows of one slide, and what was dropped by which rule."""
    from slidelake.index.representatives import select_representatives

    dropped: Counter[str] = Counter()
    try:
        chosen = select_representatives(
            lake.store, slide.slide_id, slide.space, count=options.count, seed=seed
        )
    except SlidelakeError as exc:
        dropped[f"slide-without-patches ({type(exc).__name__})"] += 1
        return [], dropped
    bag = lake.bag(slide.slide_id, slide.space)
    features = np.asarray(bag.features[:], np.float32)
    width, height = chosen.footprint or (0.0, 0.0)
    if not width:
        dropped["patch-of-unknown-size"] += len(chosen)
        return [], dropped
    drawn = drawn_classes(
        lake.store, slide.slide_id, chosen.coords + np.array([width, height]) / 2, options.names
    )
    reports = facts_of_reports(lake.store.reports.of_slide(slide.slide_id, slide.patient_id), seed)
    rows: list[TuningRow] = []
    for pick, (x, y), classes in zip(chosen.reasons, chosen.coords.tolist(), drawn, strict=True):
        place = PatchPlace(slide.slide_id, x, y, round(width), round(height), pick.row)
        label, source = options.labels.get((slide.slide_id, x, y), ""), "label"
        if not label and len(classes) == 1:
            label, source = next(iter(classes)), "annotation"
        if len(classes) > 1:
            dropped["annotations-disagree"] += 1
        measures = None
        if pixels is not None:
            shown = pixels.patch(slide.slide_id, x, y)
            if shown.note:  # the slide is not at hand: its thumbnail is no picture to tune on
                dropped["slide-not-readable"] += 1
                continue
            measures = measure_patch(np.asarray(shown.image))
        findings, refused = findings_of_patch(
            place,
            label=label,
            label_from=source,
            feature=features[pick.row],
            patient_id=slide.patient_id,
            neighbours=cohort.neighbours,
            measures=measures,
            reports=reports,
            seed=seed,
        )
        dropped += refused
        made_by = {
            "selected": pick.reason,
            "measures": measures.to_dict() if measures is not None else {},
            "rules": RULES_VERSION,
            "seed": seed,
        }
        made = _Patch(slide, place, findings, made_by, licence)
        caption, refused = _caption(made, reports, seed, writer)
        dropped += refused
        if caption is not None:
            rows.append(caption)
        rows += _asked(made, cohort, seed)
    return rows, dropped


@dataclass(frozen=True)
class _Patch:
    slide: _Slide
    place: PatchPlace
    findings: Sequence[Finding]
    made_by: Mapping[str, Any]
    licence: str

    def row(self, task: str, asked: str, answer: str, evidence: Sequence[Evidence], **rest: Any) -> TuningRow:
        made_by = {"step": task, "generator": "none", **self.made_by, **rest.pop("made_by", {})}
        return TuningRow(
            id=row_id(task, self.slide.space, self.place.slide_id, self.place.x, self.place.y, asked, answer),
            task=task,
            patient_id=self.slide.patient_id,
            turns=(Turn("user", f"<image>\n{asked}"), Turn("assistant", answer)),
            evidence=tuple(dict.fromkeys(evidence)),
            slide_id=self.place.slide_id,
            space=self.slide.space,
            images=(self.place,),
            made_by=made_by,
            licence=self.licence,
            **rest,
        )


def _caption(
    patch: _Patch, reports: ReportFacts, seed: int, writer: Generator | None
) -> tuple[TuningRow | None, Counter[str]]:
    """The caption of one patch, described, revised and summarised; None where too little is known of it."""
    dropped: Counter[str] = Counter()
    # The organ alone says nothing of this very patch.
    if not any(finding.kind not in ("organ", "diagnosis") for finding in patch.findings):
        dropped["nothing-known-of-patch"] += 1
        return None, dropped
    told = describe(patch.findings)
    evidence = [each for finding in patch.findings for each in finding.evidence]
    made_by: dict[str, Any] = {"tokenizer": TOKENIZER}
    if writer is not None:
        prompt = Prompt(
            _SYSTEM,
            "Findings:\n" + "\n".join(f"- {finding.sentence}" for finding in patch.findings),
            _PROMPT_VERSION,
        )
        reply = writer.write(prompt)
        problem = reply.problem or reply_problem(prompt, reply.text)
        if problem:
            dropped[f"reply-{problem}"] += 1
            return None, dropped
        digest = hashlib.sha256(reply.text.encode()).hexdigest()
        evidence.append(Evidence("answer", prompt.digest, 0, len(reply.text), reply.text, digest))
        made_by |= {"generator": writer.name, "prompt": prompt.version}
        held = held_by(told)
        told = " ".join(reply.text.split())
    else:
        held = held_by(told) - (
            reports.denied if not any(f.kind == "tissue" for f in patch.findings) else set()
        )
    revised = revise(told, held)
    dropped["sentence-not-held"] += len(revised.removed)
    text = summarise(revised.text)
    if not text:
        dropped["nothing-left"] += 1
        return None, +dropped
    asked = one_of(_ASKS, seed, patch.place.slide_id, patch.place.x, patch.place.y)
    return patch.row("caption", asked, text, evidence, made_by=made_by), +dropped


def _asked(patch: _Patch, cohort: _Cohort, seed: int) -> Iterator[TuningRow]:
    key = (seed, patch.place.slide_id, patch.place.x, patch.place.y)
    for each in questions_of(patch.findings, dict(cohort.pools), *key):
        yield patch.row(
            "patch-vqa", each.text, each.answer, each.evidence, kind=each.kind, choices=each.choices,
            made_by={"topic": each.topic},
        )  # fmt: skip


def _items(lake: Lake, slides: Sequence[_Slide], options: CaptionOptions) -> Iterator[Item[_Slide]]:
    """The slides, each with a digest of its features, reports, annotations and labels."""
    by_slide: dict[str, list[tuple[Place, str]]] = {}
    for place, name in options.labels.items():
        by_slide.setdefault(place[0], []).append((place, name))
    for slide in slides:
        store = lake.store
        told = [
            store.bag(slide.slide_id, slide.space).commit.attempt,
            slide.patient_id,
            *(
                f"{each.report_id}:{each.content_hash}"
                for each in store.reports.of_slide(slide.slide_id, slide.patient_id)
            ),
            *(
                store.annotations.read(slide.slide_id, name).version
                for name in store.annotations.names(slide.slide_id)
            ),
            *map(repr, sorted(by_slide.get(slide.slide_id, ()))),
        ]
        yield Item(slide.slide_id, hashlib.sha256("\n".join(told).encode()).hexdigest()[:32], slide)


def _cohort(lake: Lake, slides: Sequence[_Slide], options: CaptionOptions, request: DataRequest) -> _Cohort:
    """The voters are patches of training patients alone, so that no label of a held-out patient is in a caption."""
    here = {slide.slide_id: slide for slide in slides}
    train = {
        place: name
        for place, name in options.labels.items()
        if place[0] in here and request.split.of(here[place[0]].patient_id) == "train"
    }
    labelled = LabelledPatches.of(lake, slides[0].space, train) if train else None
    classes = sorted({name for place, name in options.labels.items() if place[0] in here})
    if not classes:
        every = {
            name
            for slide in slides
            for kinds in drawn_classes(lake.store, slide.slide_id, _centres(lake, slide), options.names)
            for name in kinds
        }
        classes = sorted(every)
    organs: set[str] = set()
    tumours: set[str] = set()
    for slide in slides:
        facts = facts_of_reports(lake.store.reports.of_slide(slide.slide_id, slide.patient_id), request.seed)
        organs |= {each.value for each in facts.findings if each.kind == "organ"}
        tumours |= {each.value for each in facts.findings if each.kind == "diagnosis"}
    pools = {"tissue": classes, "organ": sorted(organs), "diagnosis": sorted(tumours)}
    return _Cohort(Neighbours(labelled) if labelled is not None and len(labelled.places) else None, pools)


def _centres(lake: Lake, slide: _Slide) -> Any:
    if not lake.store.annotations.names(slide.slide_id):
        return np.zeros((0, 2))
    return np.asarray(lake.bag(slide.slide_id, slide.space).coords[:], float)


def _made(
    lake: Lake, slide: _Slide, cohort: _Cohort, options: CaptionOptions, request: DataRequest, pixels: Pixels
) -> Made:
    rows, dropped = rows_of_slide(
        lake, slide, cohort, options, seed=request.seed, pixels=pixels if options.pictures else None,
        writer=request.writer, licence=request.licence,
    )  # fmt: skip
    return Made([row.to_dict() for row in rows], dropped)


def _jpeg(pixels: Pixels, place: PatchPlace) -> bytes:
    out = io.BytesIO()
    pixels.patch(place.slide_id, place.x, place.y).image.save(out, "JPEG", quality=92)
    return out.getvalue()
