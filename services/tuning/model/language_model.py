"""The language model: loaded from a folder in Hugging Face's form, or a small random LLaMA made on the spot."""

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from slidelake.errors import MissingDependencyError, UsageError, WeightsError

if TYPE_CHECKING:
    from slidelake.services.tuning.model.config import TuneConfig

__all__ = [
    "LanguageModel",
    "add_lora",
    "check_targets",
    "context_of",
    "load_language_model",
    "make_tiny",
    "quiet_peft",
    "quiet_transformers",
    "weights_digest",
]

#: The context where nobody says and the model could take more: memory grows with it.
_USUAL_CONTEXT = 2048
_TINY_VOCABULARY, _TINY_CONTEXT = 2000, 512


@dataclass
class LanguageModel:
    """A causal language model and its tokenizer; `digest` is of its weights, before any tuning."""

    model: Any
    tokenizer: Any
    folder: Path
    digest: str

    @property
    def width(self) -> int:
        """Values of a token's embedding."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    @property
    def embedding_size(self) -> float:
        """Root mean square of the embeddings of all words."""
        return float(self.model.get_input_embeddings().weight.detach().float().square().mean().sqrt())


def load_language_model(folder: str | Path, *, dtype: torch.dtype, device: str) -> LanguageModel:
    """Reads a model and its tokenizer from a folder; nothing is downloaded, and no code in it is run.

    Raises MissingDependencyError without transformers, UsageError where the folder is none, WeightsError where it
    holds no causal language model or one without a tokenizer.
    """
    transformers = _transformers()
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UsageError(
            f"there is no folder {path} with a language model",
            remedy='Name a folder with config.json, weights and tokenizer, or "tiny".',
        )
    try:
        with quiet_transformers():
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                path, local_files_only=True, dtype=dtype
            )
    # transformers raises what its parsers raise, a dozen kinds: all mean that the folder cannot be used.
    except Exception as exc:
        raise WeightsError(
            f"{path} holds no causal language model with its tokenizer ({type(exc).__name__}: {exc})",
            remedy="Give a folder that save_pretrained of the model and of its tokenizer wrote.",
        ) from exc
    model.to(device)
    model.eval().requires_grad_(False)
    return LanguageModel(model, tokenizer, path, weights_digest(model))


def make_tiny(
    folder: Path,
    texts: Iterable[str],
    *,
    seed: int = 0,
    width: int = 64,
    layers: int = 2,
    vocabulary: int = _TINY_VOCABULARY,
    context: int = _TINY_CONTEXT,
) -> None:
    """Writes a LLaMA with random weights into a folder, and a byte-level BPE tokenizer learnt from the texts.

    For tests and for a first look at whether rows can be learnt: it knows no language.
    """
    transformers = _transformers()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="</s>", model_max_length=context
    )
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 16),
        num_key_value_heads=max(1, width // 16),
        max_position_embeddings=context,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config)
    with quiet_transformers():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def context_of(language: LanguageModel, asked: int) -> int:
    """The tokens of a conversation at most. Raises UsageError for more than the model has places for."""
    most = int(getattr(language.model.config, "max_position_embeddings", 0) or 0)
    if most and asked > most:
        raise UsageError(
            f"context is {asked}, and the language model has {most} places",
            remedy=f"Give --context {most} or less.",
        )
    return asked or min(most or _USUAL_CONTEXT, _USUAL_CONTEXT)


def linear_names(model: nn.Module) -> list[str]:
    """The last names of a model's linear layers, as LoRA's targets name them; sorted, without the output layer."""
    getter = getattr(model, "get_output_embeddings", None)
    output = getter() if callable(getter) else None
    # GPT-2's linear layers are a class of transformers' own.
    return sorted(
        {
            name.rpartition(".")[2]
            for name, each in model.named_modules()
            if each is not output and (isinstance(each, nn.Linear) or type(each).__name__ == "Conv1D")
        }
    )


def check_targets(model: nn.Module, targets: Sequence[str]) -> None:
    """Raises UsageError for modules that are to get LoRA and that the model does not have."""
    there = linear_names(model)
    if lacking := [each for each in targets if each not in there]:
        raise UsageError(
            f"{type(model).__name__} has no modules named {', '.join(lacking)} for LoRA",
            remedy=f"Name some of those it has with --targets: {', '.join(there) or 'none'}.",
        )


def add_lora(model: nn.Module, config: "TuneConfig") -> Any:
    """The model with LoRA on the named modules; its first weights are those of the seed, and change no output."""
    peft = _peft()
    check_targets(model, config.targets)
    lora = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        task_type="CAUSAL_LM",
    )
    with quiet_peft(), torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(config.seed)
        return peft.get_peft_model(model, lora)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """peft 0.21 asks transformers 5 for a name that it is about to give up: nothing that a user could change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing", FutureWarning)
        yield


def weights_digest(model: nn.Module) -> str:
    """xxh3-128 over the names, shapes and values of all parameters, as they lie in memory."""
    import xxhash

    digest = xxhash.xxh3_128()
    for name, value in sorted(model.state_dict().items()):
        digest.update(json.dumps([name, list(value.shape), str(value.dtype)]).encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as exc:
        raise _lacking("transformers") from exc
    return transformers


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without its bars for files that are read and written: progress is told by the caller."""
    logging = _transformers().utils.logging
    before = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            logging.enable_progress_bar()


def _peft() -> Any:
    try:
        import peft
    except ImportError as exc:
        raise _lacking("peft") from exc
    return peft


def _lacking(name: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"tuning needs {name}, which is not there", remedy="pip install 'slidelake[tune]'."
    )
