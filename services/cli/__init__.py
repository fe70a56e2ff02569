"""The command line: `slidelake …`. One file a command; `app.py` holds them together."""

from slidelake.services.cli.app import main

__all__ = ["main"]
