"""Files that killed writers left beside small objects; what they hold is nobody's."""

from collections.abc import Iterator

from slidelake.store.objects import Objects
from slidelake.store.put_if_absent import ASIDE

__all__ = ["leftovers"]

# Where these lie no small object does.
_ELSEWHERE = {"slides", "index"}


def leftovers(objects: Objects, older_than: float = 0.0) -> Iterator[str]:
    """Keys of local files aside, and of probes, last written more than `older_than` seconds ago."""
    root = objects.local
    if root is None:
        return
    for top in root.iterdir():
        if top.name in _ELSEWHERE:
            continue
        for path in [top] if top.is_file() else top.rglob("*"):
            if not path.name.startswith((ASIDE, "probe~")):
                continue
            key = path.relative_to(root).as_posix()
            try:
                if path.is_file() and (objects.age(key) or 0.0) >= older_than:
                    yield key
            except FileNotFoundError:
                continue  # its writer is at work, and has just put it in its place
