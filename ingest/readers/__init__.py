"""Slide readers, one file each; `registry.py` lists them."""

from slidelake.ingest.readers.registry import READERS, open_slide

__all__ = ["READERS", "open_slide"]
