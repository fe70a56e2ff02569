"""Tuning on a synthetic cohort: do phase 1 and 2 beat the untuned model and a text-only control on held-out patients?

A lake of slides that mix eight tissues (tune_cohort.py), captions and questions about them, patients divided into
train, val and test. A small LLaMA is first trained on text alone, where the tissues are told in words. Then
`slidelake.services.tuning.model.tune` runs, each seed with patients of its own:

    tuned          phase 1 (projector on captions, LLaMA frozen), then phase 2 (projector and LoRA on questions)
    untuned        the same model before its first step
    text only      both phases with features of zeros: what the words alone allow
    shuffled       both phases with the features of other patients
    phase 2 alone  no captions, so half of the tokens; `phase 2 twice`: as long as both phases;
                   `phase 1 alone` is the tuned arm between its phases

Held-out patients are asked in wordings that tuning never saw. A gain is the mean over patients of the difference of
their scores; its 95 % interval is a bootstrap over seeds and the patients in them. Demanded: the intervals of the
gains over untuned and over text only lie above 0.

    python -m benchmarks.tune --quick
"""

import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.harness import Benchmark, argument_parser
from benchmarks.tune_cohort import commit_slides, draw_slides, make_rows, reading_text, write_rows
from slidelake.services.tuning.model import TuneConfig, TuneReport, make_tiny, quiet_transformers, tune
from slidelake.store import FeatureStore

BOOTSTRAP = 2000
TEXT_BATCH = 32


@dataclass(frozen=True)
class Size:
    """Patients a part, patches a slide, steps of training on text, epochs of the phases, the LLaMA's size."""

    parts: dict[str, int]
    patches: int
    text_steps: int
    align_epochs: int
    tune_epochs: int
    layers: int
    width: int


FULL = Size({"train": 240, "val": 24, "test": 80}, 64, 300, 8, 5, 3, 96)
QUICK = Size({"train": 120, "val": 8, "test": 40}, 64, 150, 6, 4, 2, 64)
ARMS: dict[str, dict[str, Any]] = {
    "tuned": {},
    "text only": {"features": "zeros"},
    "shuffled": {"features": "shuffled"},
    "phase 2 alone": {"align_epochs": 0},
    # About as many tokens as both phases have: captions come to as much as questions.
    "phase 2 twice": {"align_epochs": 0, "tune_epochs": 2},
}


def learn_text(folder: Path, size: Size, seed: int = 0) -> tuple[int, float]:
    """Makes the LLaMA and trains it on text about tissues that are told in words; tokens seen, and the last loss."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    texts = [prompt + answer for prompt, answer in reading_text(4000, seed)]
    make_tiny(folder, texts, seed=seed, layers=size.layers, width=size.width, context=128, vocabulary=600)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, size.text_steps)
    drawn = reading_text(TEXT_BATCH * size.text_steps, seed + 1)
    seen, losses = 0, []
    model.train()
    for _ in range(size.text_steps):
        ids, labels = _table(tokenizer, [next(drawn) for _ in range(TEXT_BATCH)])
        logits = model(ids).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        seen += ids.numel()
        losses.append(loss.item())
    with quiet_transformers():
        model.save_pretrained(folder)
    return seen, float(np.mean(losses[-50:]))


def _table(tokenizer: Any, pairs: list[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels (B, L), filled up on the right; answers alone are learnt."""
    asked = [tokenizer(f"<s>{prompt}", add_special_tokens=False)["input_ids"] for prompt, _ in pairs]
    said = [tokenizer(f"{answer}</s>", add_special_tokens=False)["input_ids"] for _, answer in pairs]
    longest = max(len(one) + len(other) for one, other in zip(asked, said, strict=True))
    ids, labels = [], []
    for one, other in zip(asked, said, strict=True):
        empty = longest - len(one) - len(other)
        ids.append(one + other + [tokenizer.pad_token_id] * empty)
        labels.append([-100] * len(one) + other + [-100] * empty)
    return torch.tensor(ids), torch.tensor(labels)


def scores(out: Path, when: str, closed: set[str]) -> dict[str, dict[str, float]]:
    """Each held-out patient's mean score on closed and on open questions, from the answers a tuning wrote."""
    values: dict[str, dict[str, list[float]]] = {"closed": defaultdict(list), "open": defaultdict(list)}
    for line in (out / f"predictions-{when}.jsonl").read_text().splitlines():
        each = json.loads(line)
        values["closed" if each["id"] in closed else "open"][each["patient_id"]].append(each["value"])
    return {kind: {name: float(np.mean(found)) for name, found in of.items()} for kind, of in values.items()}


def one_seed(
    folder: Path, llama: Path, seed: int, size: Size
) -> tuple[dict[str, Any], dict[str, TuneReport]]:
    """Scores of every arm by kind of question and patient, and the reports, on a cohort of this seed."""
    store = FeatureStore.open(folder / f"lake-{seed}", create=True)
    slides = draw_slides(size.parts, patches=size.patches, seed=seed)
    commit_slides(store, slides)
    rows = write_rows(folder / f"rows-{seed}.jsonl", make_rows(slides, seed))
    closed = {each.id for each in make_rows(slides, seed) if each.kind == "closed"}
    found: dict[str, Any] = {}
    reports: dict[str, TuneReport] = {}
    for arm, settings in ARMS.items():
        began = time.perf_counter()
        out = folder / f"{arm.replace(' ', '-')}-{seed}"
        usual: dict[str, Any] = {
            "model": str(llama), "tokens": 4, "batch": 32, "align_epochs": size.align_epochs,
            "tune_epochs": size.tune_epochs, "align_lr": 3e-3, "tune_lr": 1e-3, "answer_tokens": 12, "seed": seed,
            "device": "cpu", "pictures": False, "options": {"hidden": 64}, "dropout": 0.0,
        }  # fmt: skip
        if "tune_epochs" in settings:
            settings = settings | {"tune_epochs": settings["tune_epochs"] * size.tune_epochs}
        report = reports[arm] = tune(store, TuneConfig(rows=str(rows), out=str(out), **usual | settings))
        found[arm] = scores(out, "after", closed)
        if arm == "tuned":
            found["untuned"] = scores(out, "before", closed)
            found["phase 1 alone"] = scores(out, "aligned", closed)
        print(
            f"seed {seed} {arm:14} closed {report.measured['after']['closed_accuracy']:.3f} "
            f"open {report.measured['after']['open_recall']:.3f} "
            f"({sum(each.tokens for each in report.phases):,} tokens, {time.perf_counter() - began:.0f} s)",
            file=sys.stderr,
            flush=True,
        )
    return found, reports


def interval(gains: list[dict[str, float]], seed: int = 0) -> tuple[float, float, float]:
    """Mean gain and its 95 % interval: seeds are drawn with replacement, then the patients of each."""
    rng = np.random.default_rng(seed)
    values = [np.array(list(each.values())) for each in gains]
    means = [
        np.mean(
            [
                rng.choice(values[number], len(values[number])).mean()
                for number in rng.integers(len(values), size=len(values))
            ]
        )
        for _ in range(BOOTSTRAP)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(np.mean([each.mean() for each in values])), float(low), float(high)


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", help="those to run in place of 0 to 2")
    arguments = parser.parse_args()
    benchmark = Benchmark("tune", quick=arguments.quick)
    size = QUICK if arguments.quick else FULL
    seeds = arguments.seeds or ([0] if arguments.quick else [0, 1, 2])
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text_tokens, text_loss = learn_text(folder / "llama", size)
        print(f"text: {text_tokens:,} tokens, loss {text_loss:.3f}", file=sys.stderr, flush=True)
        runs = [one_seed(folder, folder / "llama", seed, size) for seed in seeds]
    found = [each for each, _ in runs]
    for kind in ("closed", "open"):
        for arm in found[0]:
            benchmark.record(
                f"{kind}_{_key(arm)}", [float(np.mean(list(one[arm][kind].values()))) for one in found]
            )
        for arm in found[0]:
            if arm == "tuned":
                continue
            gains = [
                {name: one["tuned"][kind][name] - one[arm][kind][name] for name in one[arm][kind]}
                for one in found
            ]
            mean, low, high = interval(gains)
            benchmark.record(
                f"{kind}_gain_over_{_key(arm)}", mean, shown=f"95 % interval {low:+.3f} to {high:+.3f}"
            )
            benchmark.record(f"{kind}_gain_over_{_key(arm)}_low", low)
    tokens = [sum(phase.tokens for phase in reports["tuned"].phases) for _, reports in runs]
    benchmark.record("tokens_tuned", [float(each) for each in tokens])
    benchmark.record("seconds", time.perf_counter() - began)
    told = ", ".join(f"{count} {part}" for part, count in size.parts.items())
    benchmark.note(
        f"{len(seeds)} seeds, each with patients of its own ({told}); {text_tokens:,} tokens of text once, "
        f"{max(tokens):,} tokens of both phases; chance 1 of 8 on closed questions"
    )
    return benchmark.finish(arguments.out)


def _key(arm: str) -> str:
    return arm.replace(" ", "_")


if __name__ == "__main__":
    raise SystemExit(main())
