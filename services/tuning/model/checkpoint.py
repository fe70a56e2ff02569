"""What a tuning leaves: adapter/ as peft has it, projector.safetensors, the tokenizer, and tuning.json beside them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from slidelake.encoders import device_name
from slidelake.encoders.training import Precision
from slidelake.errors import UsageError, WeightsError
from slidelake.services.tuning.model.assistant import Assistant
from slidelake.services.tuning.model.features import FeatureReader
from slidelake.services.tuning.model.files import put_text, put_whole
from slidelake.services.tuning.model.generate import write_answers
from slidelake.services.tuning.model.language_model import LanguageModel, load_language_model, quiet_peft
from slidelake.services.tuning.model.projectors import create_projector
from slidelake.services.tuning.model.prompts import Prompter
from slidelake.services.tuning.model.rows import Placed, with_patches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slidelake.services.tuning.data import TuningRow
    from slidelake.store import FeatureStore

__all__ = [
    "ABOUT",
    "ADAPTER",
    "PROJECTOR",
    "TunedModel",
    "check_space",
    "load_tuned",
    "read_about",
    "save_tuned",
]

ADAPTER, PROJECTOR, TOKENIZER, ABOUT = "adapter", "projector.safetensors", "tokenizer", "tuning.json"
_FORMAT = "slidelake-tuning-1"
_GIVE = "Give the folder that slidelake tune wrote, --out."
_KINDS = {"space": str, "encoder": dict, "base": dict, "projector": dict, "context": int, "patches": int}


@dataclass
class TunedModel:
    """A tuned model in memory, and what is known of it (tuning.json)."""

    assistant: Assistant
    prompter: Prompter
    about: Mapping[str, Any]
    device: torch.device
    precision: Precision

    def answer(
        self, store: "FeatureStore", rows: "Sequence[TuningRow]", *, most: int = 64, batch: int = 8
    ) -> dict[str, str]:
        """What the model answers to the last question of each row, by the row's id; rows that are longer than the
        context have no answer.

        Raises UsageError for a lake whose features come from another encoder, with both fingerprints.
        """
        space = self.about["space"]
        if rows:
            bag = store.bag(_slide_of(rows[0]), space)
            check_space(self.about, space, bag.commit.provenance.get("encoder") or {})
        reader = FeatureReader(
            store, space, self.about["patches"], 0, with_coords=self.assistant.projector.needs_coords
        )
        answers = write_answers(
            self.assistant,
            self.prompter,
            reader,
            with_patches(store, space, (Placed(row, _slide_of(row)) for row in rows)),
            batch=batch,
            most=most,
            precision=self.precision,
            device=self.device,
        )
        return {each.row.id: text for each, text in answers}


def save_tuned(folder: Path, assistant: Assistant, language: LanguageModel, about: Mapping[str, Any]) -> None:
    """Writes the parts; tuning.json last, so that a folder with one is whole. The adapter where there is LoRA."""
    from safetensors.torch import save

    if hasattr(assistant.language, "peft_config"):
        with quiet_peft():
            assistant.language.save_pretrained(folder / ADAPTER)
    language.tokenizer.save_pretrained(folder / TOKENIZER)
    state = {
        name: each.detach().cpu().contiguous() for name, each in assistant.projector.state_dict().items()
    }
    put_whole(folder / PROJECTOR, lambda beside: beside.write_bytes(save(state)))
    put_text(folder / ABOUT, json.dumps({"format": _FORMAT, **about}, indent=2) + "\n")


def read_about(folder: Path) -> dict[str, Any]:
    """What tuning.json says. Raises WeightsError for a folder that holds no tuning, or a damaged one."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise WeightsError(f"{folder} holds no tuning ({exc})", remedy=_GIVE) from exc
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise WeightsError(f"{folder / ABOUT} is none that this version reads", remedy=_GIVE)
    if lacking := [name for name, kind in _KINDS.items() if not isinstance(about.get(name), kind)]:
        raise WeightsError(f"{folder / ABOUT} lacks {', '.join(lacking)}", remedy="Take another copy.")
    return about


def check_space(about: Mapping[str, Any], space: str, encoder: Mapping[str, Any]) -> None:
    """Raises UsageError with both fingerprints for features of another space, or of another encoder by its name."""
    same = not about["encoder"] or not encoder or dict(about["encoder"]) == dict(encoder)
    if space == about["space"] and same:
        return
    raise UsageError(
        f"the tuned model knows {about['space']} (fingerprint {_shown(about['encoder'])}), "
        f"the features are of {space} (fingerprint {_shown(encoder)})",
        remedy=f"Give features of {about['space']}, or tune on {space}.",
    )


def base_folder(folder: Path, about: Mapping[str, Any]) -> Path:
    """Where the language model lies that the tuning is of: in the folder itself, or where it was then.

    Raises WeightsError where it is there no more.
    """
    base = folder / str(about["base"]["folder"])  # an absolute one stays as it is
    if not base.is_dir():
        raise WeightsError(
            f"the language model that {folder} is of is not in {base}",
            remedy=f"Put it there again, or write its folder as base.folder in {folder / ABOUT}.",
        )
    return base


def load_parts(folder: Path, about: Mapping[str, Any], assistant: Assistant, *, learns: bool = False) -> None:
    """Puts the saved projector and LoRA into an assistant. Raises WeightsError for what does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        assistant.projector.load_state_dict(load_file(folder / PROJECTOR))
    except (OSError, SafetensorError, RuntimeError) as exc:
        raise WeightsError(
            f"{folder / PROJECTOR} cannot be used ({exc})", remedy="Take another copy."
        ) from exc
    if about["base"].get("lora"):
        from peft import PeftModel

        try:
            with quiet_peft():
                assistant.language = PeftModel.from_pretrained(
                    assistant.language, str(folder / ADAPTER), is_trainable=learns
                )
        # peft and safetensors raise what their parsers raise: all mean that the adapter cannot be used.
        except Exception as exc:
            raise WeightsError(
                f"{folder / ADAPTER} cannot be used ({type(exc).__name__}: {exc})",
                remedy="Take another copy.",
            ) from exc


def load_tuned(folder: str | Path, *, device: str = "auto", precision: str = "auto") -> TunedModel:
    """Reads a tuned model. Raises WeightsError for a folder that holds none, and where the language model that it is
    of is gone or another one."""
    path = Path(folder).expanduser()
    about = read_about(path)
    place = torch.device(device_name(device))
    how = Precision(precision, place)
    language = load_language_model(base_folder(path, about), dtype=base_dtype(how, place), device=str(place))
    check_base(about, language, path)
    projector = about["projector"]
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        made = create_projector(
            projector["name"],
            dim=projector["dim"],
            width=projector["width"],
            tokens=projector["tokens"],
            **projector["options"],
        )
    assistant = Assistant(made, language.model)
    load_parts(path, about, assistant)
    assistant.to(place).eval().requires_grad_(False)
    prompter = Prompter(language.tokenizer, tokens=projector["tokens"], context=about["context"])
    return TunedModel(assistant, prompter, about, place, how)


def check_base(about: Mapping[str, Any], language: LanguageModel, folder: Path) -> None:
    """Raises WeightsError where the language model is another than the one that was tuned."""
    if about["base"]["digest"].get(str(language.model.dtype)) not in (None, language.digest):
        raise WeightsError(
            f"{language.folder} holds another language model than the one that {folder} is of",
            remedy=f"Put the model with digest {about['base']['digest']} there.",
        )


def base_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """How the language model's own weights lie in memory: they are not learnt, so 16 bits do on a GPU."""
    return torch.bfloat16 if precision.name == "bf16" and device.type == "cuda" else torch.float32


def _slide_of(row: "TuningRow") -> str:
    return row.images[0].slide_id if row.images else row.slide_id


def _shown(fingerprint: Mapping[str, Any]) -> str:
    return json.dumps(dict(fingerprint), sort_keys=True) if fingerprint else "not told"
