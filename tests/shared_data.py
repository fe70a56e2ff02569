"""Where the real slides, patches and reports lie, if this checkout has them beside it."""

import os
from pathlib import Path

_here = Path(__file__).resolve().parent.parent
_candidate = Path(os.environ.get("SLIDELAKE_SHARED", _here.parent / "shared")) / "data"

#: The folder with the real data, or None: tests that need it are then not collected.
SHARED: Path | None = _candidate if _candidate.is_dir() else None


def shared(pattern: str) -> list[Path]:
    """Files below the shared data that match a glob; empty where there is no shared data."""
    return sorted(SHARED.glob(pattern)) if SHARED else []
