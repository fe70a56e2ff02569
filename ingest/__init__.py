"""Ingest: slides → tissue → grid → pixels → encoder → store, in this process or on Ray actors."""
