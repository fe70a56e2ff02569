"""`slidelake train`: a slide encoder learnt from the bags of a lake, and how good it is."""

import inspect
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command
from slidelake.services.cli.train_progress import TrainProgress

if TYPE_CHECKING:
    from slidelake.encoders.training import TrainConfig, TrainReport


class Flag(NamedTuple):
    """The flag of one setting of TrainConfig: `--` and its name; what it holds, what it says, what stands for it."""

    name: str
    kind: Any
    help: str
    metavar: str | None = None


#: Every setting has its flag; what is not given is what the file says, and else the default.
FLAGS = (
    Flag("labels", str, "What is learnt: a column; for survival TIME,EVENT.", "COLUMN,…"),
    Flag("out", str, "Folder for weights, logs, predictions and the report.", "FOLDER"),
    Flag("task", str, "classification (default), regression or survival."),
    Flag("labels_file", str, "Where the columns stand; else in the lake's metadata.", "FILE.csv"),
    Flag("ignore_unknown", bool, "Leave out what the table names and the lake lacks."),
    Flag("classes", str, "Names in their order; of two, the second is the positive one.", "NAME,…"),
    Flag("ordered", bool, "Classes are grades: kappa is weighted by squared distance."),
    Flag("space", str, "Grid and patch encoder; needed where there are several."),
    Flag("snapshot", str, "Train on the lake as this snapshot pinned it.", "NAME"),
    Flag("unit", str, "What a bag is: slide (default) or patient."),
    Flag("splits", str, "What slidelake split wrote, or a table with a column split.", "FILE"),
    Flag("folds", int, "Make so many folds, by patient, and train each."),
    Flag("parts", str, "Make parts, by patient; default train=0.7,val=0.1,test=0.2.", "NAME=SHARE,…"),
    Flag("encoder", str, "The slide encoder: abmil (default), mean, …", "NAME"),
    Flag("loss", str, "mse (default) or huber; cox (default) or discrete."),
    Flag("bins", int, "Intervals of time of the discrete loss; default 4."),
    Flag("class_weights", bool, "Weigh each class's loss by its inverse share."),
    Flag("balance", str, "Draw bags evenly by class, patient or class+patient; default none."),
    Flag("entropy_weight", float, "Weight of attention's negative entropy in the loss (AEM); default 0."),
    Flag("bags_per_batch", int, "Default 8; with --patches-per-batch as many as fit."),
    Flag("patches_per_batch", int, "Patches of a batch at most."),
    Flag("sample", int, "Rows drawn of each bag for each step; default: all."),
    Flag(
        "standardise", bool, "Features to mean 0, deviation 1 (of the training part); default: as they are."
    ),
    Flag("accumulate", int, "Batches of one step of the optimiser; default 1."),
    Flag("epochs", int, "Default 50."),
    Flag("lr", float, "AdamW's; default 2e-4."),
    Flag("weight_decay", float, "Default 1e-4."),
    Flag("warmup_epochs", float, "Epochs in which the rate rises, before it falls by a cosine; default 1."),
    Flag("clip", float, "Norm of the gradient at most; default 1; 0: as it is."),
    Flag("patience", int, "Stop after so many epochs without a better one; default 10; 0: never."),
    Flag("metric", str, "What better is, on the validation part: loss (default), auroc, c_index, …"),
    Flag(
        "precision",
        str,
        "auto (default: bf16 on a GPU that has it), bf16, fp16 or no; not the attention kernel.",
    ),
    Flag("seed", int, "Of splits, weights and order; default 0."),
    Flag("device", str, "auto (default), cpu, cuda, cuda:1 or mps."),
    Flag("bootstrap", int, "Draws of the 95 % intervals; default 1000; 0: none."),
    Flag("checkpoint_minutes", float, "Between saved states within an epoch; default 10."),
    Flag("tensorboard", bool, "Events for TensorBoard; default: where it is installed."),
    Flag("pictures", bool, "Draw the pictures of the report (default), or not."),
    Flag("cache", str, "Keep copies of a remote lake's features here.", "FOLDER"),
)


def register(app: typer.Typer) -> None:
    command(
        app,
        "train",
        epilog="Example: slidelake train --labels grade --encoder abmil --folds 5 --out runs/abmil --store lake",
    )(_train)


def _train(
    session: Session,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml", help="Settings under the names of these flags, which go before it."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="One of the slide encoder's own settings; may be repeated."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the training in --out.")] = False,
    **given: Any,
) -> int:
    """Train a slide encoder on slide labels, by patient-level parts or folds, and report how good it is.

    Splits, predictions and the report in --out name slides and patients: slidelake delete does not reach them there.

    Several GPUs: torchrun --nproc-per-node 4 --no-python slidelake train …
    """
    from slidelake.encoders.training import train

    first = os.environ.get("RANK", "0") == "0"
    # Under torchrun one process speaks for all.
    session.json = session.json and first
    settings = _settings(
        {name: value for name, value in given.items() if value is not None}, config, resume, option
    )
    store = session.lake().store
    if store.catalog().empty:
        session.emit({"ok": False, "exit_code": 4})
        session.say("there are no slides in the lake")
        return 4
    with TrainProgress(session.errors if first else Console(quiet=True)) as progress:
        report = train(store, settings, resume=resume, overwrite=overwrite, progress=progress)
    if first:
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
    place = next(n for n, each in enumerate(own) if each.name == "config")
    function.__signature__ = inspect.Signature([*own[:place], *flags, *own[place:]])


def _names(flag: Flag) -> tuple[str, ...]:
    if flag.kind is not bool:
        return ()
    name = flag.name.replace("_", "-")
    return (f"--{name}/--no-{name}",)


_with_flags(_train)


def _settings(
    given: dict[str, Any], file: Path | None, resume: bool, options: list[str] | None
) -> "TrainConfig":
    """The flags, over the file, over what a training that goes on was begun with."""
    from slidelake.encoders.training import make_config, read_config

    said = read_config(file) if file is not None else {}
    flags = dict(given)
    if "tensorboard" in flags:
        flags["tensorboard"] = "on" if flags["tensorboard"] else "off"
    if "parts" in flags:
        flags["parts"] = _pairs("--parts", flags["parts"].split(","))
    before: dict[str, Any] = {}
    if resume:
        out = flags.get("out") or said.get("out")
        if not out:
            raise UsageError("--resume, and no folder", remedy="Name the folder of the training with --out.")
        begun = Path(out).expanduser() / "config.toml"
        if not begun.is_file():
            raise UsageError(f"there is no training in {out} to go on with", remedy="Leave --resume out.")
        before = read_config(begun)
    divided = {"splits", "folds", "parts"}
    if divided & flags.keys():
        # How the slides are divided is one setting under three names.
        said, before = ({k: v for k, v in each.items() if k not in divided} for each in (said, before))
    if options:
        flags["options"] = {
            **before.get("options", {}),
            **said.get("options", {}),
            **_pairs("--option", options),
        }
    return make_config(before, said, flags)


def _pairs(flag: str, texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE; a value is a number, true or false where it reads as one, else text."""
    pairs: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals) or name.strip() in pairs:
            raise UsageError(f"{flag} {text}", remedy="Write NAME=VALUE, each name once.")
        try:
            pairs[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            pairs[name.strip()] = value.strip()
    return pairs


def _finish(session: Session, report: "TrainReport") -> None:
    from slidelake.encoders.training import TITLES
    from slidelake.services.training_page import write_page

    page = write_page(report)
    session.emit({"ok": True, "exit_code": 0, **report.to_dict(), "report": str(page)})
    # Measures go down, parts across: folds one by one are in the report.
    whole = [each for each in report.measured if each.fold is None]
    table = Table()
    table.add_column("measure")
    # Where a bag is a patient they are counted once.
    counted = "\n{:,} slides" if report.config["unit"] == "slide" else ""
    for each in whole:
        table.add_column(
            f"{escape(each.part)}\n{each.patients:,} patients{counted.format(each.bags)}",
            justify="right",
        )
    for name in report.metrics():
        table.add_row(TITLES[name], *(str(each.metrics[name]) for each in whole))
    if whole:
        session.say(table)
    for reason, slides in report.left_out.items():
        session.say(f"left out, {escape(reason)}: {len(slides):,}")
    for note in report.notes:
        session.errors.print(f"note: {escape(note)}", soft_wrap=True)
    session.say(f"saved: {escape(str(page))}")
