"""Who searched, exported and deleted what: one JSON line an action, appended to a file of the server's owner."""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slidelake.errors import UsageError

__all__ = ["AuditLog"]


class AuditLog:
    """Lines `{"time", "caller", "action", …facts}` in a file that only its owner can read (0600).

    Each line is written by one call, so that lines of several servers never mix. Raises UsageError where the file
    cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as exc:
            raise UsageError(
                f"the audit log {path} cannot be written: {exc.strerror}",
                remedy="Name a file in a folder that is there and may be written.",
            ) from exc

    def record(self, caller: str, action: str, **facts: Any) -> None:
        """Append one line; facts that are None are left out."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "caller": caller,
            "action": action,
            **{name: value for name, value in facts.items() if value is not None},
        }
        with self._lock:
            if self._file >= 0:
                os.write(self._file, json.dumps(line, ensure_ascii=False, default=str).encode() + b"\n")

    def close(self) -> None:
        """Close the file; later records are dropped."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
