"""`tune`: both phases of a tuning, with the held-out patients asked before, between and after."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from slidelake._version import __version__
from slidelake.encoders.training import Precision, noted_signals, write_log
from slidelake.errors import UsageError
from slidelake.services.tuning.model.checkpoint import save_tuned
from slidelake.services.tuning.model.config import TINY, TuneConfig
from slidelake.services.tuning.model.files import put_text
from slidelake.services.tuning.model.generate import write_answers
from slidelake.services.tuning.model.language_model import add_lora
from slidelake.services.tuning.model.measure import Measures, measure_answers
from slidelake.services.tuning.model.phases import PHASES, PhaseRun
from slidelake.services.tuning.model.pictures import draw_curves, need_matplotlib
from slidelake.services.tuning.model.prepare import Prepared, prepare
from slidelake.services.tuning.model.report import (
    REPORT,
    TuneReport,
    load_report,
    phase_report,
    save_report,
)
from slidelake.services.tuning.model.state import load_state, save_state

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["CONFIG", "tune"]

CONFIG, STATE, LOG, CURVES = "config.json", "state.pt", "log.csv", "curves.png"
#: All that a tuning writes, so that overwriting takes away nothing else.
_OURS = (
    CONFIG, STATE, LOG, CURVES, REPORT, "tuning.json", "projector.safetensors", "adapter", "tokenizer", "base",
    "predictions-before.jsonl", "predictions-aligned.jsonl", "predictions-after.jsonl",
)  # fmt: skip
_SAVED = "the tuning was stopped and its state saved; --resume goes on with it"


def tune(
    store: "FeatureStore",
    config: TuneConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[..., None] | None = None,
) -> TuneReport:
    """Tune a projector and a language model's LoRA on rows whose features are streamed from a store.

    In `config.out` lie then adapter/, projector.safetensors, tokenizer/, tuning.json (`load_tuned` takes the folder),
    log.csv, curves.png, report.json, and predictions-before.jsonl, -aligned and -after with the answers for the
    held-out part. Without `resume` a folder that holds a tuning is refused; `overwrite` replaces it; `resume` goes on
    where it stopped, and on the same machine ends with the same bits as if it had never stopped. Predictions name rows,
    and lie outside the store: a deletion does not reach them.

    progress: prepared (parts, left_out, notes), measure (name, total), asked (done), measured (name, …), phase (name,
    total, done), step (phase, done), log (a line of the log). Ctrl-C or SIGTERM: the state is saved, then
    KeyboardInterrupt.

    Raises UsageError and its kinds for what cannot be tuned, WeightsError for a language model that cannot be used,
    MissingDependencyError without the packages of `slidelake[tune]`, NotFiniteError for a loss that is no number.
    """
    out = Path(config.out).expanduser()
    if config.start and Path(config.start).expanduser().resolve() == out.resolve():
        raise UsageError("a tuning cannot start from its own folder", remedy="Name another one with --out.")
    if config.model != TINY and Path(config.model).expanduser().resolve() == out.resolve():
        raise UsageError(
            f"{out} holds the language model, and a tuning would write over its files",
            remedy="Name another folder with --out.",
        )
    begun = (out / CONFIG).exists()
    if begun:
        # Language models have a config.json too: what is no tuning's is never replaced.
        TuneConfig.check_own(out / CONFIG)
    if begun and not (resume or overwrite):
        raise UsageError(
            f"{out} holds a tuning",
            remedy="Go on with it by --resume, replace it by --overwrite, or name another.",
        )
    if resume and (out / REPORT).exists():
        return load_report(out)
    if config.pictures:
        need_matplotlib()
    store = store.at(config.snapshot) if config.snapshot else store
    with _own_chance(), noted_signals() as stopping:
        prepared = prepare(store, config, anew=not (begun and resume))
        if begun and not resume:
            _clear(out, keep=prepared.language.folder)
        put_text(out / CONFIG, json.dumps(config.to_dict(), indent=2) + "\n")
        return _Tuning(prepared, config, out, progress or _silence, stopping).run()


@dataclass
class _Tuning:
    """One tuning on its way: what was prepared, its log, and the answers it gave so far."""

    prepared: Prepared
    config: TuneConfig
    out: Path
    tell: Callable[..., None]
    stopping: Callable[[], bool]
    history: list[dict[str, Any]] = field(default_factory=list)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.assistant, self.device = self.prepared.assistant, self.prepared.device
        self.precision: Precision = self.prepared.precision
        self._saved_at = time.monotonic()

    def run(self) -> TuneReport:
        cohort, phases = self.prepared.cohort, self.prepared.phases
        state = load_state(self.out / STATE, self.config, self.prepared.about)
        if state is not None:
            self.history = list(state["history"])
            self.measured, self.done = dict(state["measured"]), list(state["done"])
        self.tell(
            "prepared",
            parts=self._counts(),
            asked=cohort.asked,
            left_out=self.prepared.left_out,
            notes=self.prepared.notes,
        )
        if state is not None:
            if state["lora"]:
                self._add_lora()
            self.assistant.load_tuned(state["tuned"])
        self._measure("before")
        for phase in phases:
            if phase.name in self.done:
                continue
            if phase.name == "tune":
                self._add_lora()
            run = PhaseRun(
                phase, self.assistant, self.prepared.prompter, self.prepared.reader, self.config, self.precision,
                self.device, self.history, self.tell, self._due, self._save,
            )  # fmt: skip
            if state is not None and state["run"] and state["run"]["phase"] == phase.name:
                run.load_state_dict(state["run"])
            if run.run():
                raise KeyboardInterrupt(_SAVED)
            self.done.append(phase.name)
            self._save(None)
            if phase.name == "align" and "tune" in (each.name for each in phases):
                self._measure("aligned")
                self._save(None)
            if self.stopping():
                raise KeyboardInterrupt(_SAVED)
        if phases:
            self._measure("after")
        return self._finish()

    def _add_lora(self) -> None:
        if not hasattr(self.assistant.language, "peft_config"):
            self.assistant.language = add_lora(self.assistant.language, self.config)
            self.assistant.language.to(self.device).eval()

    # What is kept

    def _due(self) -> str:
        """Whether the state is to be saved now: "stop", "save" or ""."""
        if self.stopping():
            return "stop"
        minutes = self.config.checkpoint_minutes
        return "save" if minutes and time.monotonic() - self._saved_at > 60 * minutes else ""

    def _save(self, run: PhaseRun | None) -> None:
        if self.history:
            write_log(self.out / LOG, self.history)
        state = {
            "tuned": {name: each.detach().cpu() for name, each in self.assistant.tuned().items()},
            "lora": hasattr(self.assistant.language, "peft_config"),
            "run": None if run is None else run.state_dict(),
            "history": self.history,
            "measured": self.measured,
            "done": self.done,
        }
        save_state(self.out / STATE, self.config, self.prepared.about, state)
        self._saved_at = time.monotonic()

    def _finish(self) -> TuneReport:
        prepared, config = self.prepared, self.config
        about = prepared.tuning_about(lora=hasattr(self.assistant.language, "peft_config"))
        save_tuned(
            self.out,
            self.assistant,
            prepared.language,
            {
                **about,
                "measured": self.measured,
                "config": config.to_dict(),
                "slidelake_version": __version__,
            },
        )
        if config.pictures and self.history:
            draw_curves(self.out / CURVES, self.history)
        found = [
            phase_report(each.name, len(each.rows), each.epochs, self.history) for each in prepared.phases
        ]
        counts = {"projector": 0, "lora": 0, "language_model": 0}
        for name, each in self.assistant.named_parameters():
            part = (
                "projector"
                if name.startswith("projector.")
                else "lora"
                if "lora_" in name
                else "language_model"
            )
            counts[part] += each.numel()
        report = TuneReport(
            str(self.out),
            prepared.cohort.space,
            config.model,
            prepared.cohort.asked,
            self._counts(),
            prepared.left_out,
            counts,
            [each for each in found if each is not None],
            self.measured,
            [*prepared.notes, *_doubts(self.history)],
            config.to_dict(),
        )
        save_report(report)
        (self.out / STATE).unlink(missing_ok=True)
        return report

    def _counts(self) -> dict[str, dict[str, int]]:
        return {
            part: {"rows": len(rows), "patients": len({each.row.patient_id for each in rows})}
            for part, rows in self.prepared.cohort.parts.items()
        }

    # Asking

    def _measure(self, name: str) -> None:
        """Asks the held-out part once, and writes down what was answered."""
        rows = self.prepared.asked
        if name in self.measured or not rows:
            return
        self.tell("measure", name=name, total=len(rows))
        answers = write_answers(
            self.assistant,
            self.prepared.prompter,
            self.prepared.reader,
            rows,
            batch=4 * self.config.batch,
            most=self.config.answer_tokens,
            precision=self.precision,
            device=self.device,
            tell=self._asked,
        )
        answered = sorted(((each.row, text) for each, text in answers), key=lambda pair: pair[0].id)
        found: Measures = measure_answers(answered)
        lines = (
            {"id": row.id, "patient_id": row.patient_id, "prediction": text, "value": found.values[row.id]}
            for row, text in answered
        )
        put_text(
            self.out / f"predictions-{name}.jsonl",
            "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines),
        )
        self.measured[name] = found.to_dict()
        self.tell("measured", name=name, **self.measured[name])

    def _asked(self, done: int) -> None:
        """Between two batches of questions; a signal stops here too, and --resume asks this part again."""
        self.tell("asked", done=done)
        if self.stopping():
            self._save(None)
            raise KeyboardInterrupt(_SAVED)


def _doubts(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the curves say against a tuning."""
    notes = []
    for phase in PHASES:
        seen = [
            each["val_loss"] for each in history if each["phase"] == phase and each["val_loss"] is not None
        ]
        if seen and seen[-1] > 1.1 * min(seen):
            notes.append(
                f"phase {phase}: the validation loss rose from {min(seen):.3f} to {seen[-1]:.3f}; fewer epochs may do"
            )
    return notes


@contextmanager
def _own_chance() -> Iterator[None]:
    """Chance that is drawn within leaves the caller's generators as they were."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        yield


def _clear(out: Path, keep: Path) -> None:
    for place in (out / name for name in _OURS):
        if place == keep:
            continue
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _silence(event: str, **fields: Any) -> None:
    pass
