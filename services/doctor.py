"""What this machine can do, and what to install for the rest.

Looks at nothing outside the machine but the store that is named.
"""

import os
import platform
import secrets
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from slidelake.errors import SlidelakeError

if TYPE_CHECKING:
    from slidelake.store import Objects

GIB = 2**30
Status = Literal["ok", "missing", "warning"]


@dataclass(frozen=True)
class Check:
    """One thing looked at: `found` says what there is, `remedy` what to do where `status` is not ok."""

    name: str
    status: Status
    found: str
    remedy: str = ""


class Finding(NamedTuple):
    """What a probe gives; its name is the table's."""

    status: Status
    found: str
    remedy: str = ""


Probe = Callable[[], Finding]


def examine(store: str | None = None) -> list[Check]:
    """Every check of this machine, and of the store at that path or URL where one is named.

    Nothing is raised, whatever is missing or broken: a probe that fails is a check that says so.
    """
    place = _local_place(store)
    probes: list[tuple[str, Probe]] = [
        ("Python", _python),
        ("cores", _cores),
        ("memory", _memory),
        ("disk", partial(_disk, place)),
        ("OpenSlide", _openslide),
        ("torch", partial(_package, "torch", "slidelake needs it: pip install torch.")),
        ("GPU", _gpu),
        ("Triton", _triton),
        ("kernels", _kernels),
        *((name, partial(_package, module, remedy)) for name, module, remedy in _PACKAGES),
    ]
    checks = [_run(name, probe) for name, probe in probes]
    return checks if store is None else [*checks, *_store_checks(store)]


_PACKAGES = (
    ("zarr", "zarr", "The store needs it: pip install zarr."),
    ("LanceDB", "lancedb", "The index needs it: pip install lancedb."),
    ("Ray", "ray", "For `slidelake ingest --workers`: pip install 'slidelake[ray]'."),
    ("timm", "timm", "For `timm:` encoders: pip install 'slidelake[timm]'."),
    ("S3", "s3fs", "For stores and slides on s3://: pip install 's3fs', or 'slidelake[s3]'."),
    (
        "imagecodecs",
        "imagecodecs",
        "For `slidelake synth` and `slidelake demo`: pip install 'slidelake[synth]'.",
    ),
)


def _run(name: str, probe: Probe) -> Check:
    try:
        # What a package warns of while it loads is no finding of ours.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Check(name, *probe())
    except SlidelakeError as exc:
        return Check(name, "warning", exc.problem, exc.remedy)
    except Exception as exc:  # noqa: BLE001 - a broken installation raises anything at all, and that is the finding
        return Check(
            name,
            "warning",
            f"could not be examined: {type(exc).__name__}: {_first_line(exc)}",
            "Repair what the message names, then run slidelake doctor again.",
        )


def _python() -> Finding:
    return Finding("ok", f"{platform.python_version()} ({sys.executable})")


def _cores() -> Finding:
    # What this process may use: a container or a batch system often gives fewer than the machine has.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = f"{usable} of {os.cpu_count()}"
    if usable < 2:
        return Finding("warning", found, "Give at least 2 cores: decoding and encoding run side by side.")
    return Finding("ok", found)


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.total / GIB:.1f} GiB, {memory.available / GIB:.1f} GiB free"
    if memory.available < 2 * GIB:
        return Finding("warning", found, "Free some: an ingest worker wants about 2 GiB.")
    return Finding("ok", found)


def _disk(place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    found = f"{free / GIB:.1f} GiB free at {place}"
    if free < 5 * GIB:
        return Finding("warning", found, "Free some: 10,000 patches of 1,024 features take 20 MB.")
    return Finding("ok", found)


def _openslide() -> Finding:
    try:
        import openslide
    except ImportError as exc:
        return Finding(
            "missing", _first_line(exc), "slidelake needs it: pip install openslide-python openslide-bin."
        )
    return Finding("ok", f"library {openslide.__library_version__}, Python binding {openslide.__version__}")


def _gpu() -> Finding:
    try:
        import torch
    except ImportError as exc:
        return Finding("missing", f"not known without torch ({_first_line(exc)})", "Install torch first.")
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(each) for each in range(torch.cuda.device_count())]
        named = ", ".join(f"{each.name} ({each.total_memory / GIB:.0f} GiB)" for each in devices)
        return Finding("ok", f"{named}, CUDA {torch.version.cuda or torch.version.hip}")
    if torch.backends.mps.is_available():
        return Finding("ok", "Apple GPU (MPS)")
    if shutil.which("nvidia-smi"):
        return Finding(
            "warning",
            f"an NVIDIA driver is installed, but torch (built for CUDA {torch.version.cuda}) cannot use it",
            "Install the torch build that fits the driver: https://pytorch.org/get-started/locally.",
        )
    return Finding(
        "warning",
        "none; everything runs on the CPU",
        "`stain-texture` does well so; for foundation models use a machine with a GPU.",
    )


def _triton() -> Finding:
    remedy = (
        "Only of use with a GPU: pip install triton." if sys.platform == "linux" else "Exists for Linux only."
    )
    return _package("triton", remedy)


def _kernels() -> Finding:
    from slidelake.kernels import backend_names

    return Finding("ok", f"back ends: {', '.join(backend_names())}")


def _package(module: str, remedy: str) -> Finding:
    """Really import it: an installed package whose neighbours do not fit fails only then."""
    try:
        import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name in (module, None):
            return Finding("missing", "not installed", remedy)
        return Finding("missing", f"installed, but does not load: {_first_line(exc)}", remedy)
    except Exception as exc:  # noqa: BLE001 - what a broken package raises on import is not known beforehand
        found = f"installed, but does not load: {type(exc).__name__}: {_first_line(exc)}"
        return Finding("missing", found, f"Install it anew. {remedy}")
    try:
        return Finding("ok", version(module))
    except PackageNotFoundError:
        return Finding("ok", "loads; its version is not recorded")


def _store_checks(url: str) -> Iterator[Check]:
    from slidelake.store import Objects

    try:
        objects = Objects(url)
    except Exception as exc:  # noqa: BLE001 - each fsspec file system has errors of its own
        yield Check("store", "warning", f"{url}: {_first_line(exc)}", "Check the URL, and its credentials.")
        return
    if objects.local is not None and not objects.local.is_dir():
        yield _run("store", partial(_future_store, objects.local))
        return
    store = _run("store", partial(_is_store, objects))
    yield store
    if store.status != "ok":
        return  # nothing is tried out in a folder that holds other things
    yield _run("store: put if absent", partial(_put_if_absent, objects))
    if objects.local is not None:
        yield _run("store: hard links", partial(_hard_links, objects.local))


def _future_store(folder: Path) -> Finding:
    if folder.exists():
        return Finding("warning", f"{folder} is a file", "Name a folder with --store.")
    above = _local_place(str(folder))
    if not os.access(above, os.W_OK):
        return Finding(
            "warning", f"{folder} does not exist, and {above} cannot be written", "Name another with --store."
        )
    return Finding("warning", f"{folder} does not exist yet", "slidelake ingest makes it.")


def _is_store(objects: "Objects") -> Finding:
    from slidelake.store import FeatureStore

    info = FeatureStore.open(objects.url).info
    return Finding("ok", f"{objects.url}: format {info.format}, id {info.store_id}")


def _put_if_absent(objects: "Objects") -> Finding:
    objects.check_put_if_absent()
    if objects.local is None:
        return Finding("ok", "conditional put")
    return Finding("ok", "hard link" if _links(objects.local) else "exclusive creation")


def _hard_links(folder: Path) -> Finding:
    if _links(folder):
        return Finding("ok", "yes")
    return Finding(
        "warning",
        "no",
        "Commits are made by exclusive creation, which is safe too; a disk with hard links is better.",
    )


def _links(folder: Path) -> bool:
    first, second = (folder / f".doctor-{secrets.token_hex(8)}" for _ in range(2))
    first.touch()
    try:
        second.hardlink_to(first)
    except OSError:
        return False
    finally:
        first.unlink()
        second.unlink(missing_ok=True)
    return True


def _local_place(store: str | None) -> Path:
    """The nearest folder that exists at or above the store; the working folder where it is not local."""
    if store is None or "://" in store.removeprefix("file://"):
        return Path.cwd()
    path = Path(store.removeprefix("file://")).expanduser().absolute()
    return next(each for each in (path, *path.parents) if each.is_dir())


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
