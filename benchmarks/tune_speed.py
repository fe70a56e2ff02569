"""Tuning a LLaMA of about 1B parameters with random weights: tokens/s of both phases, waiting for features, memory.

Bags lie in a lake on disk and are streamed by `slidelake.services.tuning.model`; beside it, plain transformers + peft
take the same steps (prompts, batches, LoRA, optimiser, precision) from features that lie on the device already. The
ratio is what streaming, projecting and the checks cost. Sides take turns, after a warm-up of each. Demanded on a GPU:
less than 2 % of the time waiting.

    python -m benchmarks.tune_speed --device cuda    needs torch, transformers and peft, and this checkout
    python -m benchmarks.tune_speed --tiny           a smoke test on a CPU
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.harness import Benchmark
from slidelake.services.tuning.data import Evidence, TuningRow, Turn
from slidelake.services.tuning.model import (
    FEATURES,
    IGNORED,
    Assistant,
    FeatureReader,
    Phase,
    PhaseRun,
    Placed,
    Prompt,
    TuneConfig,
    Waiting,
    add_lora,
    create_projector,
    pad_prompts,
    stream,
)

GRID, ENCODER = "256px-0.5mpp", "random.00000001"


@dataclass(frozen=True)
class Size:
    """The LLaMA (width, layers, heads, inner width, vocabulary), slides, patches a slide, their dimension, tokens of a
    prompt and of an answer, rows of a batch, steps that are timed."""

    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    slides: int
    patches: int
    dim: int
    asked: int
    answer: int
    batch: int
    steps: int


#: TinyLlama's shape: 1.1 B parameters.
LARGE = Size(2048, 22, 32, 5632, 32000, 64, 10000, 1024, 96, 128, 8, 30)
TINY = Size(64, 2, 4, 128, 500, 6, 200, 32, 12, 12, 2, 3)


class RandomPrompts:
    """Stands for a tokenizer: a row's prompt is drawn by its number, so that no tokenizer is needed to time steps."""

    pad = 0

    def __init__(self, size: Size, tokens: int) -> None:
        self._size, self._tokens = size, tokens

    def __call__(self, row: TuningRow) -> Prompt:
        size = self._size
        words = (
            np.random.default_rng(int(row.id)).integers(1, size.vocabulary, size.asked + size.answer).tolist()
        )
        ids = [words[0], *[FEATURES] * self._tokens, *words[1:]]
        labels = [IGNORED] * (size.asked + self._tokens) + words[size.asked :]
        return Prompt(tuple(ids), tuple(labels), size.asked + self._tokens)


class Files:
    """Stands for a lake on a machine that has torch, transformers and peft alone: a bag is a file of numpy's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, slide: str, features: Any) -> None:
        self._folder.mkdir(exist_ok=True)
        np.save(self._folder / f"{slide}.npy", features)

    def bag(self, slide: str, space: str) -> "FileBag":
        return FileBag(slide, self._folder / f"{slide}.npy")


class FileBag:
    """What a reader asks of a bag."""

    def __init__(self, slide: str, file: Path) -> None:
        self.slide_id, self._file = slide, file
        self.valid = np.ones(len(self), np.uint8)

    def __len__(self) -> int:
        return len(np.load(self._file, mmap_mode="r"))

    def read(self) -> Any:
        return np.load(self._file)

    def rows(self, rows: Any) -> Any:
        return np.load(self._file, mmap_mode="r")[rows]


class Autocast:
    """bf16 on a GPU, float32 elsewhere; as `slidelake.encoders.training` has it, whose other needs are not there."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def cast(self) -> Any:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda")

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        return loss

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        pass

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()


def open_store(folder: Path, *, files: bool) -> Any:
    """A lake, or plain files where the store's packages are not there or nobody wants them."""
    if not files and find_spec("zarr"):
        from slidelake.store import FeatureStore

        return FeatureStore.open(folder, create=True)
    return Files(folder)


def make_lake(folder: Path, size: Size, *, files: bool) -> tuple[Any, list[Placed]]:
    """Bags of random features, and a row about each."""
    store = open_store(folder, files=files)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(size.slides):
        slide = f"S{number:03d}"
        coords = (
            np.stack([np.arange(size.patches) % 100, np.arange(size.patches) // 100], 1).astype(np.int32)
            * 256
        )
        told = {"patient_id": slide, "encoder": {"name": "random"}}
        features = rng.standard_normal((size.patches, size.dim), np.float32).astype(np.float16)
        if isinstance(store, Files):
            store.put(slide, features)
        else:
            store.put_grid(slide, GRID, coords=coords, columns={}, attributes={}, provenance=told)
            with store.bag_writer(slide, GRID, ENCODER, dim=size.dim) as writer:
                writer.write(features)
                writer.commit(told)
        turns = (Turn("user", "<image>"), Turn("assistant", "x"))
        rows.append(Placed(TuningRow(str(number), "vqa", slide, turns, (Evidence("slide", slide),)), slide))
    return store, rows


def make_model(size: Size, device: torch.device, dtype: torch.dtype) -> Any:
    """A LLaMA with random weights, frozen."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=size.vocabulary, hidden_size=size.width, intermediate_size=size.inner,
        num_hidden_layers=size.layers, num_attention_heads=size.heads, num_key_value_heads=max(1, size.heads // 8),
    )  # fmt: skip
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM(config)
    return model.to(dtype).eval().requires_grad_(False)


def our_phase(
    phase: str,
    store: Any,
    rows: list[Placed],
    model: Any,
    config: TuneConfig,
    size: Size,
    device: torch.device,
) -> tuple[PhaseRun, RandomPrompts]:
    """A phase as `slidelake tune` runs it, over as many rows as the steps need."""
    prompts = RandomPrompts(size, config.tokens)
    space = f"{GRID}/{ENCODER}"
    torch.manual_seed(0)
    projector = create_projector("attention", dim=size.dim, width=size.width, tokens=config.tokens)
    assistant = Assistant(projector, add_lora(model, config) if phase == "tune" else model).to(device)
    reader = FeatureReader(store, space, config.patches, 0)
    several = [rows[n % len(rows)] for n in range(size.steps * size.batch)]
    run = PhaseRun(
        Phase(phase, several, (), 10**6, 1e-4), assistant, prompts, reader, config,  # type: ignore[arg-type]
        Autocast(device), device, [], lambda *_, **__: None, lambda: "", lambda _: None,
    )  # fmt: skip
    return run, prompts


def one_epoch(run: PhaseRun, device: torch.device) -> tuple[float, float, int]:
    """Seconds, seconds of waiting and tokens of one epoch of a phase."""
    run.history.clear()
    began = time.perf_counter()
    run._epoch(run.phase.steps(run.config))
    _wait(device)
    seconds = time.perf_counter() - began
    return seconds, sum(each["waited"] for each in run.history), sum(each["tokens"] for each in run.history)


def plain_epoch(run: PhaseRun, bags: dict[str, Any], device: torch.device) -> float:
    """Seconds of the same steps by transformers and peft alone: features on the device, pooled by a softmax of a linear
    layer's scores, the model's own loss over labels."""
    size = run.config.batch
    order = run._order(run.epoch)
    model, width = run.assistant.language, run.assistant.projector.width
    score = nn.Linear(run.assistant.projector.dim, run.config.tokens, device=device)
    linear = nn.Linear(run.assistant.projector.dim, width, device=device)
    lora = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW([*score.parameters(), *linear.parameters(), *lora], lr=1e-4)
    _wait(device)
    began = time.perf_counter()
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        padded = pad_prompts([run.prompter(each.row) for each in batch], 0).to(device)  # type: ignore[misc]
        places = padded.ids == FEATURES
        with run.precision.cast():
            pooled = [
                torch.softmax(score(bags[each.slide_id]).float(), 0).T @ bags[each.slide_id].float()
                for each in batch
            ]
            words = model.get_input_embeddings()(padded.ids.masked_fill(places, 0))
            embeds = words.masked_scatter(places[..., None], linear(torch.stack(pooled)).to(words.dtype))
            loss = model(
                inputs_embeds=embeds, attention_mask=padded.there, labels=padded.labels, use_cache=False
            ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def bags_on(device: torch.device, run: PhaseRun, rows: list[Placed]) -> Iterator[tuple[str, Any]]:
    """Each slide's sampled features, on the device."""
    for each, packed in zip(
        rows,
        stream(run.reader, [(("plain",), [row]) for row in rows], readers=2, ahead=2, waiting=Waiting()),
        strict=True,
    ):
        yield each.slide_id, packed.features.to(device).float()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="a small model, to see that it runs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--files", action="store_true", help="bags as files of numpy's, not in a lake")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    size, device = TINY if arguments.tiny else LARGE, torch.device(arguments.device)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    benchmark = Benchmark("tune_speed", quick=arguments.tiny, gpu=gpu)
    config = TuneConfig(
        rows="-", out="-", tokens=16, batch=size.batch, patches=4096, dropout=0.0, log_every=5,
        readers=4, ahead=8, options={"hidden": 128},
    )  # fmt: skip
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with tempfile.TemporaryDirectory() as name:
        store, rows = make_lake(Path(name) / "lake", size, files=arguments.files)
        benchmark.note(f"features from {type(store).__name__}")
        for phase in ("align", "tune"):
            model = make_model(size, device, dtype)
            run, _ = our_phase(phase, store, rows, model, config, size, device)
            bags = dict(bags_on(device, run, rows))
            one_epoch(run, device)
            plain_epoch(run, bags, device)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            ours, waits, tokens, plain, peak = [], [], 0, [], 0
            for _ in range(arguments.rounds):
                seconds, waited, tokens = one_epoch(run, device)
                ours.append(tokens / seconds)
                waits.append(waited / seconds)
                if device.type == "cuda":
                    peak = max(peak, torch.cuda.max_memory_allocated())
                plain.append(tokens / plain_epoch(run, bags, device))
            benchmark.record(f"{phase}_tokens_per_s", ours)
            benchmark.record(f"{phase}_plain_tokens_per_s", plain)
            benchmark.record(f"{phase}_ratio", [one / other for one, other in zip(ours, plain, strict=True)])
            benchmark.record(f"{phase}_waiting", waits, shown="share of the time")
            if peak:
                held = sum(each.numel() * each.element_size() for each in bags.values())
                benchmark.record(
                    f"{phase}_peak_gib", (peak - held) / 2**30, shown="without the plain side's bags"
                )
            parameters = sum(each.numel() for each in model.parameters())
            learnt = sum(each.numel() for each in run.parameters)
            benchmark.note(f"{phase}: {parameters:,} parameters, {learnt:,} learnt, {json.dumps(vars(size))}")
            del model, run, bags
    return benchmark.finish(arguments.out)


if __name__ == "__main__":
    raise SystemExit(main())
