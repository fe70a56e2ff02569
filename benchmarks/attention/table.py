"""The table that `backend="auto"` follows, from the rows of a sweep: what ran at each shape, fastest first."""

from collections import defaultdict
from collections.abc import Iterable

from benchmarks.attention.rows import BOTH, FORWARD, OK, Row
from slidelake.kernels import Winner

__all__ = ["winners_of"]

#: Side → its mode in the table.
_MODES = {
    "reference": "eager",
    "chunked_recompute": "chunked+recompute",
    "chunked_store": "chunked+store",
    "triton_recompute": "triton+recompute",
    "triton_store": "triton+store",
}
#: End of a side's name → the dtype of its features. TF32 is float32 to a caller: left to what float32 does.
_DTYPES = {"": "bfloat16", "_fp32": "float32"}
#: Shape of one bag and dtype.
_Key = tuple[int, int, int, int, str]


def winners_of(rows: Iterable[Row]) -> list[Winner]:
    """One entry for each shape and dtype of a single bag with frozen features that some back end ran at.

    Forward by the times of the forward pass alone, training by those of both passes together. A shape that stands in
    several parts is taken from the first.
    """
    times: dict[_Key, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    first: dict[_Key, str] = {}
    for row in rows:
        for end, dtype in _DTYPES.items():
            mode = _MODES.get(row.side.removesuffix(end) if end else row.side)
            if (
                mode is None
                or not row.side.endswith(end)
                or row.status != OK
                or row.features
                or row.bags != 1
            ):
                continue
            key = (row.rows, row.dim, row.hidden, row.branches, dtype)
            if first.setdefault(key, row.part) == row.part:
                times[key][row.mode][mode] = row.ms
    found = []
    for (count, dim, hidden, branches, dtype), modes in times.items():
        if modes[FORWARD] and modes[BOTH]:
            forward = dict.fromkeys(mode.partition("+")[0] for mode in _fastest(modes[FORWARD]))
            training = tuple(_fastest(modes[BOTH]))
            found.append(Winner(dtype, count, dim, hidden, branches, tuple(forward), training))
    return found


def _fastest(times: dict[str, float]) -> list[str]:
    return sorted(times, key=times.__getitem__)
