"""Words that a loader takes, checked before anything is read."""

from slidelake.errors import UsageError

__all__ = ["check_words"]


def check_words(layout: str, balance: str | None, on_error: str, read_ahead: int | str) -> None:
    """Raises UsageError for a layout, balance, on_error or read_ahead that there is not."""
    for name, value, known in (
        ("layout", layout, ("packed", "padded", "list")),
        ("balance", balance, (None, "class", "patient", "class+patient")),
        ("on_error", on_error, ("raise", "skip")),
    ):
        if value not in known:
            words = ", ".join(repr(each) for each in known)
            raise UsageError(f"{name} is {value!r}", remedy=f"Use one of {words}.")
    if read_ahead != "auto" and (not isinstance(read_ahead, int) or not 0 <= read_ahead <= 64):
        raise UsageError(
            f"read_ahead is {read_ahead!r}", remedy="Use 'auto', or a number of threads from 0 to 64."
        )
