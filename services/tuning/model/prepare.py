"""All that a tuning needs before its first step, looked up and checked: what can be refused is refused here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xxhash

from slidelake.encoders import device_name
from slidelake.encoders.training import Precision
from slidelake.errors import UsageError
from slidelake.services.tuning.model.assistant import Assistant
from slidelake.services.tuning.model.checkpoint import (
    base_dtype,
    base_folder,
    check_base,
    check_space,
    load_parts,
    read_about,
)
from slidelake.services.tuning.model.config import TINY, TuneConfig
from slidelake.services.tuning.model.features import FeatureReader, shuffled_slides
from slidelake.services.tuning.model.language_model import (
    LanguageModel,
    check_targets,
    context_of,
    load_language_model,
    make_tiny,
)
from slidelake.services.tuning.model.phases import Phase
from slidelake.services.tuning.model.projectors import create_projector
from slidelake.services.tuning.model.prompts import Prompter
from slidelake.services.tuning.model.rows import Cohort, Placed, read_cohort

if TYPE_CHECKING:
    from slidelake.services.tuning.model.projectors.base import Projector
    from slidelake.store import FeatureStore

__all__ = ["Prepared", "prepare"]

BASE = "base"
#: Bags, and rows of each, that the features' mean and spread are taken over.
_STATISTICS_BAGS, _STATISTICS_ROWS = 256, 256


@dataclass
class Prepared:
    """What a tuning works with. `about`: digests of what decides the weights besides the settings, by name."""

    cohort: Cohort
    language: LanguageModel
    assistant: Assistant
    prompter: Prompter
    reader: FeatureReader
    precision: Precision
    device: torch.device
    phases: Sequence[Phase]
    asked: Sequence[Placed]
    left_out: Mapping[str, int]
    notes: Sequence[str]
    about: Mapping[str, str]
    context: int
    config: TuneConfig

    def tuning_about(self, *, lora: bool) -> dict[str, Any]:
        """What tuning.json says of the model."""
        projector, language = self.assistant.projector, self.language
        inside = language.folder.parent == Path(self.config.out).expanduser()
        return {
            "space": self.cohort.space,
            "encoder": dict(self.cohort.encoder),
            "rows": self.cohort.digest,
            "base": {
                "folder": language.folder.name if inside else str(language.folder.resolve()),
                "digest": {str(language.model.dtype): language.digest},
                "lora": lora,
            },
            "projector": {
                "name": projector.name,
                "dim": projector.dim,
                "width": projector.width,
                "tokens": projector.tokens,
                "options": dict(projector.options),
            },
            "context": self.context,
            "patches": self.config.patches,
        }


def prepare(store: "FeatureStore", config: TuneConfig, *, anew: bool = True) -> Prepared:
    """Reads the rows, the language model and where to begin; `anew`: a tiny model is made, else it is there already.

    Raises UsageError, WeightsError, MissingDependencyError.
    """
    cohort = read_cohort(store, config)
    device = torch.device(device_name(config.device))
    precision = Precision(config.precision, device)
    notes: list[str] = []
    begun = None
    if config.start:
        begun = read_about(Path(config.start).expanduser())
        check_space(begun, cohort.space, cohort.encoder)
    language = _language(cohort, config, precision, device, begun, anew)
    if config.tune_epochs and not (begun and begun["base"].get("lora")):
        check_targets(language.model, config.targets)
    context = context_of(language, config.context)
    prompter = Prompter(language.tokenizer, tokens=config.tokens, context=context)
    if prompter.plain:
        notes.append(
            "the tokenizer has no chat template: conversations are written plainly, User: … Assistant: …"
        )
    parts, left_out = _fitting(cohort, prompter, context)
    phases = _phases(parts, config, notes)
    torch.manual_seed(config.seed)
    projector = create_projector(
        config.projector, dim=cohort.dim, width=language.width, tokens=config.tokens, **config.options
    )
    reader = FeatureReader(
        store,
        cohort.space,
        config.patches,
        config.seed,
        with_coords=projector.needs_coords,
        kind=config.features,
        exchanged=_exchanged(cohort, config),
    )
    assistant = Assistant(projector, language.model)
    if begun is None:
        _standardise(projector, reader, parts["train"])
        projector.match(language.embedding_size)
    else:
        _begin(assistant, begun, config)
    assistant.to(device)
    if config.recompute:
        _recompute(assistant)
    asked = parts[cohort.asked] if cohort.asked else ()
    if not asked:
        notes.append("no patient is held out (part test or val): nothing is measured")
    about = {"rows": cohort.digest, "language model": language.digest, "bags": _bags_digest(store, cohort)}
    return Prepared(
        cohort, language, assistant, prompter, reader, precision, device, phases,
        _some(asked, config.held_out_rows, config.seed), left_out, notes, about, context, config,
    )  # fmt: skip


def _recompute(assistant: Assistant) -> None:
    """Lets the language model make its activations again in the backward pass."""
    base = getattr(assistant.language, "get_base_model", lambda: assistant.language)()
    # transformers 5 gives the method a new name, and warns of the old one.
    enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def _language(
    cohort: Cohort,
    config: TuneConfig,
    precision: Precision,
    device: torch.device,
    begun: Mapping[str, Any] | None,
    anew: bool,
) -> LanguageModel:
    out, dtype = Path(config.out).expanduser(), base_dtype(precision, device)
    folder = Path(config.model).expanduser()
    if begun is not None:
        start = Path(config.start).expanduser()
        language = load_language_model(base_folder(start, begun), dtype=dtype, device=str(device))
        check_base(begun, language, start)
        return language
    if config.model == TINY:
        folder = out / BASE
        if anew or not folder.exists():
            texts = sorted({turn.text for each in cohort.parts["train"] for turn in each.row.turns})
            make_tiny(folder, texts, seed=config.seed)
    return load_language_model(folder, dtype=dtype, device=str(device))


def _fitting(
    cohort: Cohort, prompter: Prompter, context: int
) -> tuple[dict[str, tuple[Placed, ...]], dict[str, int]]:
    """The rows that the context has room for, and how many were left out for what reason."""
    left_out, parts = dict(cohort.left_out), {}
    for part, rows in cohort.parts.items():
        parts[part] = tuple(each for each in rows if prompter(each.row) is not None)
        if long := len(rows) - len(parts[part]):
            reason = f"longer than the context of {context} tokens"
            left_out[reason] = left_out.get(reason, 0) + long
    if not parts["train"]:
        raise UsageError(
            f"no row of the part train fits into a context of {context} tokens", remedy="Raise --context."
        )
    return parts, left_out


def _phases(parts: Mapping[str, Sequence[Placed]], config: TuneConfig, notes: list[str]) -> list[Phase]:
    """Phase 1 over captions, phase 2 over the other rows: those with rows and epochs."""
    phases = []
    for name, captions, epochs, lr in (
        ("align", True, config.align_epochs, config.align_lr),
        ("tune", False, config.tune_epochs, config.tune_lr),
    ):
        train, val = (
            tuple(each for each in parts[part] if each.is_caption is captions) for part in ("train", "val")
        )
        if not epochs:
            continue
        if train:
            phases.append(Phase(name, train, val, epochs, lr))
        else:
            what = "captions (rows whose task says caption)" if captions else "rows but captions"
            notes.append(f"phase {name} is left out: the part train has no {what}")
    if not phases and not config.start:
        raise UsageError(
            "there is nothing to learn: " + "; ".join(notes[-2:]),
            remedy="Give rows for a phase that has epochs (--align-epochs, --tune-epochs).",
        )
    return phases


def _exchanged(cohort: Cohort, config: TuneConfig) -> dict[str, str] | None:
    if config.features != "shuffled":
        return None
    # Within a part, so that nobody who is held out is seen in training.
    found: dict[str, str] = {}
    for rows in cohort.parts.values():
        if rows:
            found |= shuffled_slides(((each.slide_id, each.row.patient_id) for each in rows), config.seed)
    return found


def _some(rows: Sequence[Placed], most: int, seed: int) -> Sequence[Placed]:
    """At most so many rows (0: all), by a keyed hash of their ids."""
    if not most or len(rows) <= most:
        return rows
    return sorted(rows, key=lambda each: xxhash.xxh3_64_intdigest(f"{seed}\0{each.row.id}".encode()))[:most]


def _standardise(projector: "Projector", reader: FeatureReader, rows: Sequence[Placed]) -> None:
    """Mean and spread of each feature over some rows of some bags of the part that is learnt from, in float64."""
    bags = _some(list({each.slide_id: each for each in rows}.values()), _STATISTICS_BAGS, 0)
    seen = FeatureReader(
        reader.store,
        reader.space,
        _STATISTICS_ROWS,
        reader.seed,
        kind=reader.kind,
        exchanged=reader.exchanged,
    )
    values = np.concatenate(
        [seen.read([each], ("statistics",)).features.numpy().astype(np.float64) for each in bags]
    )
    projector.standardise(torch.from_numpy(values.mean(0)), torch.from_numpy(values.std(0)))


def _begin(assistant: Assistant, begun: Mapping[str, Any], config: TuneConfig) -> None:
    """Takes the projector and LoRA of an earlier tuning. Raises UsageError where the projector is another."""
    made = assistant.projector
    here = {"name": made.name, "tokens": made.tokens, "options": dict(made.options)}
    there = {name: begun["projector"][name] for name in here}
    if here != there:
        raise UsageError(
            f"the tuning in {config.start} has the projector {_told(there)}, not {_told(here)}",
            remedy="Pass the same --projector, --tokens and --option, or leave --start out.",
        )
    load_parts(Path(config.start).expanduser(), begun, assistant, learns=True)


def _told(projector: Mapping[str, Any]) -> str:
    options = "".join(f", {name} {value}" for name, value in projector["options"].items())
    return f"{projector['name']} with {projector['tokens']} tokens{options}"


def _bags_digest(store: "FeatureStore", cohort: Cohort) -> str:
    """Changes with the bag of any slide that is tuned on: another generation, another epoch."""
    slides = sorted({each.slide_id for rows in cohort.parts.values() for each in rows})
    digest = xxhash.xxh3_128()
    for slide in slides:
        commit = store.bag(slide, cohort.space).commit
        digest.update(f"{slide}\0{commit.attempt}\0".encode())
    return digest.hexdigest()
