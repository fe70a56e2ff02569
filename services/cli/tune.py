"""`slidelake tune`: a language model that sees slides, from the lake's features and rows of instructions."""

import inspect
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.markup import escape
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command
from slidelake.services.cli.tune_progress import TuneProgress

if TYPE_CHECKING:
    from slidelake.services.tuning.model import TuneConfig, TuneReport


class Flag(NamedTuple):
    """The flag of one setting of TuneConfig: its name; what it holds, what it says, what stands for it."""

    name: str
    kind: Any
    help: str
    metavar: str | None = None


#: Every setting has its flag; what is not given is the default.
FLAGS = (
    Flag("out", str, "Folder for the adapter, projector, log, curves and answers.", "FOLDER"),
    Flag(
        "model",
        str,
        "Language model and tokenizer in Hugging Face's form; default tiny: a random LLaMA.",
        "FOLDER",
    ),
    Flag("start", str, "Begin with the projector and LoRA of an earlier tuning.", "FOLDER"),
    Flag("space", str, "Grid and patch encoder; default: the one that the rows name."),
    Flag("snapshot", str, "Tune on the lake as this snapshot pinned it.", "NAME"),
    Flag("ignore_unknown", bool, "Leave out rows about slides that the lake lacks."),
    Flag("projector", str, "attention (default), regions, resampler or mean.", "NAME"),
    Flag("tokens", int, "Tokens of a slide; default 8."),
    Flag("patches", int, "Rows of a bag seen at once, drawn anew each step; default 4096."),
    Flag("features", str, "lake (default); as controls zeros, or shuffled between patients."),
    Flag("context", int, "Tokens of a conversation; default: what the model takes, 2048 at most."),
    Flag("rank", int, "LoRA's rank; default 64."),
    Flag("alpha", float, "LoRA's alpha; default 16."),
    Flag("dropout", float, "LoRA's dropout; default 0.05."),
    Flag(
        "targets",
        str,
        "Modules with LoRA; default q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj.",
        "NAME,…",
    ),
    Flag("batch", int, "Rows of a batch; default 8."),
    Flag("accumulate", int, "Batches of a step; default 1."),
    Flag("align_epochs", int, "Phase 1: projector alone, on captions; default 1."),
    Flag("tune_epochs", int, "Phase 2: projector and LoRA, on the other rows; default 3."),
    Flag("align_lr", float, "Rate of phase 1; default 1e-3."),
    Flag("tune_lr", float, "Rate of phase 2; default 2e-4."),
    Flag("weight_decay", float, "AdamW's; default 0."),
    Flag("warmup", float, "Share of a phase in which the rate rises; default 0.03."),
    Flag("clip", float, "Norm of the gradient at most; default 1; 0: as it is."),
    Flag("precision", str, "auto (default: bf16 on a GPU that has it), bf16 or no."),
    Flag("recompute", bool, "Less memory: make activations again in the backward pass."),
    Flag("answer_tokens", int, "Tokens of an answer at most; default 64."),
    Flag("held_out_rows", int, "Held-out rows that are asked; default 0: all."),
    Flag("seed", int, "Of weights, order and draws; default 0."),
    Flag("device", str, "auto (default), cpu, cuda, cuda:1 or mps."),
    Flag("checkpoint_minutes", float, "Between saved states; default 10."),
    Flag("readers", int, "Threads that read features; default 2."),
    Flag("ahead", int, "Batches read ahead; default 4."),
    Flag("log_every", int, "Steps of a line of log.csv; default 10."),
    Flag("pictures", bool, "Draw curves.png (default), or not."),
)
_TITLES = {"before": "before", "aligned": "after phase 1", "after": "after tuning"}


def register(app: typer.Typer) -> None:
    command(
        app,
        "tune",
        epilog="Example: slidelake tune data/rows.jsonl --model models/llama --out runs/tuned --store lake",
    )(_tune)


def _tune(
    session: Session,
    *,
    rows: Annotated[
        str | None, typer.Argument(metavar="ROWS.jsonl", help="What slidelake tune-data wrote.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="One of the projector's own settings; may be repeated."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the tuning in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the tuning in --out.")] = False,
    **given: Any,
) -> int:
    """Tune a language model on slides: features → projector → causal LM with LoRA.

    Phase 1 learns the projector on captions, phase 2 projector and LoRA on the other rows; patients of the part test
    are asked before, between and after. Answers in --out name rows: slidelake delete does not reach them there.
    """
    from slidelake.services.tuning.model import tune

    settings = _settings(
        {name: value for name, value in given.items() if value is not None}, rows, option, resume
    )
    store = session.lake().store
    if store.catalog().empty:
        session.emit({"ok": False, "exit_code": 4})
        session.say("there are no slides in the lake")
        return 4
    with TuneProgress(session.errors) as progress:
        report = tune(store, settings, resume=resume, overwrite=overwrite, progress=progress)
    _finish(session, report)
    return 0


def _with_flags(function: Any) -> None:
    """Gives the command a flag for each setting."""
    own = [each for each in inspect.signature(function).parameters.values() if each.name != "given"]
    flags = [
        inspect.Parameter(
            flag.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                flag.kind | None, typer.Option(*_names(flag), help=flag.help, metavar=flag.metavar)
            ],
        )
        for flag in FLAGS
    ]
    function.__signature__ = inspect.Signature([*own[:2], *flags, *own[2:]])


def _names(flag: Flag) -> tuple[str, ...]:
    if flag.kind is not bool:
        return ()
    name = flag.name.replace("_", "-")
    return (f"--{name}/--no-{name}",)


_with_flags(_tune)


def _settings(
    flags: dict[str, Any], rows: str | None, options: list[str] | None, resume: bool
) -> "TuneConfig":
    """The flags, over what a tuning that goes on was begun with."""
    from slidelake.services.tuning.model import TuneConfig

    if not flags.get("out"):
        raise UsageError("no folder was named for the results", remedy="Pass --out FOLDER.")
    before: dict[str, Any] = {}
    if resume:
        begun = Path(flags["out"]).expanduser() / "config.json"
        if not begun.is_file():
            raise UsageError(
                f"there is no tuning in {flags['out']} to go on with", remedy="Leave --resume out."
            )
        before = TuneConfig.read(begun).to_dict()
    if rows is not None:
        flags["rows"] = rows
    if "targets" in flags:
        flags["targets"] = tuple(each.strip() for each in flags["targets"].split(",") if each.strip())
    if options:
        flags["options"] = before.get("options", {}) | _pairs(options)
    return TuneConfig(**{"rows": "", **before, **flags})


def _pairs(texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE; a value is a number, true or false where it reads as one, else text."""
    pairs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals) or name.strip() in pairs:
            raise UsageError(f"--option {text}", remedy="Write NAME=VALUE, each name once.")
        try:
            pairs[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            pairs[name.strip()] = value.strip()
    return pairs


def _finish(session: Session, report: "TuneReport") -> None:
    session.emit({"ok": True, "exit_code": 0, **report.to_dict()})
    if report.measured:
        table = Table()
        counts = report.parts[report.asked]
        table.add_column(f"{report.asked}: {counts['patients']:,} patients")
        first = next(iter(report.measured.values()))
        table.add_column(f"closed accuracy\n{first['closed']:,} questions", justify="right")
        table.add_column(f"open recall\n{first['open']:,} questions", justify="right")
        for name, found in report.measured.items():
            table.add_row(
                _TITLES[name], *(_number(found[each]) for each in ("closed_accuracy", "open_recall"))
            )
        session.say(table)
    for phase in report.phases:
        val = "" if phase.val_loss is None else f", validation {phase.val_loss:.3f}"
        session.say(
            f"phase {phase.name}: {phase.rows:,} rows, {phase.steps:,} steps, loss {phase.first_loss:.3f} to "
            f"{phase.last_loss:.3f}{val}; {phase.tokens:,} tokens, {phase.tokens_per_second:,.0f}/s, "
            f"waited for features {100 * phase.waiting:.1f} %"
        )
    session.say(
        f"parameters: projector {report.parameters['projector']:,}, LoRA {report.parameters['lora']:,}, "
        f"language model {report.parameters['language_model']:,} (frozen)"
    )
    for reason, count in report.left_out.items():
        session.say(f"rows left out, {escape(reason)}: {count:,}")
    for note in report.notes:
        session.errors.print(f"note: {escape(note)}", soft_wrap=True)
    session.say(f"saved: {escape(report.out)}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
