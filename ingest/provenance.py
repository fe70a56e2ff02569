"""Where a slide's data came from: the source as it was, and a fingerprint of its bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from slidelake.errors import UnreadableSlideError
from slidelake.ingest.local_copy import is_remote, local_path

if TYPE_CHECKING:
    from slidelake.ingest.slide import SlideReader

__all__ = ["Source", "content_checksum", "source_provenance", "stat_source"]

#: Up to this size every byte is read; above, three samples of a third of it each, and the size, stand for the file.
WHOLE_BYTES = 64 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Source:
    """What one look at a source tells: size in bytes, and mtime (local) or ETag (remote)."""

    uri: str
    size: int
    mtime: float | None = None
    etag: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The keys of the provenance."""
        known: dict[str, Any] = {"source_uri": self.uri, "source_size": self.size}
        if self.mtime is not None:
            known["source_mtime"] = self.mtime
        if self.etag:
            known["source_etag"] = self.etag
        return known

    def same_as(self, provenance: dict[str, Any]) -> bool:
        """Whether a provenance tells of this very source."""
        return (
            provenance.get("source_size") == self.size
            and provenance.get("source_mtime", self.mtime) == self.mtime
            and provenance.get("source_etag", self.etag) == self.etag
        )


def stat_source(uri: str) -> Source:
    """One look at a source, without opening it. Raises UnreadableSlideError where there is none."""
    if not is_remote(uri):
        try:
            stat = Path(local_path(uri)).stat()
        except OSError as exc:
            raise UnreadableSlideError(
                f"there is no such file ({exc.strerror})",
                remedy="Check the path and its permissions.",
                slide=uri,
            ) from exc
        return Source(uri, stat.st_size, mtime=stat.st_mtime)
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
        info = filesystem.info(path)
    except (OSError, ImportError, ValueError) as exc:
        raise UnreadableSlideError(
            f"it cannot be reached: {exc}",
            remedy="Check the URL, the credentials, and that the fsspec back end is installed.",
            slide=uri,
        ) from exc
    etag = str(info.get("ETag") or info.get("etag") or info.get("created") or "").strip('"')
    return Source(uri, int(info.get("size") or 0), etag=etag)


def source_provenance(uri: str, reader: "SlideReader") -> dict[str, Any]:
    """What a provenance says of a slide's file and of what reads it, the slide being open."""
    return {
        **stat_source(uri).to_dict(),
        "source_checksum": content_checksum(reader.local_path),
        "reader": reader.name,
        "reader_version": reader.version,
    }


def content_checksum(path: str) -> str:
    """`xxh3-128:…` over the whole of a small file, `xxh3-128-sampled:…` over parts and size of a large one."""
    file = Path(path)
    size = file.stat().st_size
    digest = xxhash.xxh3_128()
    with file.open("rb") as stream:
        if size <= WHOLE_BYTES:
            while block := stream.read(_BLOCK):
                digest.update(block)
            return f"xxh3-128:{digest.hexdigest()}"
        part = WHOLE_BYTES // 3
        for start in (0, (size - part) // 2, size - part):
            stream.seek(start)
            digest.update(stream.read(part))
    digest.update(str(size).encode())
    return f"xxh3-128-sampled:{digest.hexdigest()}"
