"""Where a slide came from, as it was."""

import os
from pathlib import Path

import fsspec
import pytest
import xxhash

from slidelake.errors import UnreadableSlideError
from slidelake.ingest import provenance
from slidelake.ingest.provenance import Source, content_checksum, stat_source


def test_one_look_at_a_file(tmp_path):
    path = tmp_path / "a.svs"
    path.write_bytes(b"12345")
    os.utime(path, (1_700_000_000.25, 1_700_000_000.25))
    source = stat_source(str(path))
    assert source == Source(str(path), 5, mtime=1_700_000_000.25)
    assert source.to_dict() == {"source_uri": str(path), "source_size": 5, "source_mtime": 1_700_000_000.25}
    assert stat_source(f"file://{path}").size == 5


def test_the_same_source_is_the_same(tmp_path):
    path = tmp_path / "a.svs"
    path.write_bytes(b"12345")
    known = stat_source(str(path)).to_dict()
    assert stat_source(str(path)).same_as(known)
    os.utime(path, (1, 1))
    assert not stat_source(str(path)).same_as(known)


def test_a_remote_source_by_its_etag():
    known = Source("s3://b/a.svs", 5, etag="abc").to_dict()
    assert known == {"source_uri": "s3://b/a.svs", "source_size": 5, "source_etag": "abc"}
    assert Source("s3://b/a.svs", 5, etag="abc").same_as(known)
    assert not Source("s3://b/a.svs", 5, etag="abd").same_as(known)
    assert not Source("s3://b/a.svs", 6, etag="abc").same_as(known)


@pytest.mark.parametrize(
    "uri", ["/nowhere/at/all.svs", "memory://nowhere/at/all.svs", "nosuchprotocol://a/b.svs"]
)
def test_what_is_not_there(uri):
    with pytest.raises(UnreadableSlideError) as caught:
        stat_source(uri)
    assert (caught.value.slide, caught.value.reason) == (uri, "unreadable")
    assert caught.value.remedy


def test_a_small_file_counts_with_every_byte(tmp_path):
    path = tmp_path / "a"
    data = bytes(range(256)) * 9000
    path.write_bytes(data)
    assert content_checksum(str(path)) == f"xxh3-128:{xxhash.xxh3_128(data).hexdigest()}"
    path.write_bytes(b"")
    assert content_checksum(str(path)) == f"xxh3-128:{xxhash.xxh3_128().hexdigest()}"


def test_a_large_file_is_sampled_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "WHOLE_BYTES", 3000)
    path = tmp_path / "a"
    data = bytearray(os.urandom(10_000))
    path.write_bytes(data)
    parts = data[:1000] + data[4500:5500] + data[-1000:] + b"10000"
    before = content_checksum(str(path))
    assert before == f"xxh3-128-sampled:{xxhash.xxh3_128(bytes(parts)).hexdigest()}"
    data[5000] ^= 1
    path.write_bytes(data)
    assert content_checksum(str(path)) != before


def test_whole_up_to_64_mib():
    assert provenance.WHOLE_BYTES == 64 * 2**20


def test_a_remote_file_is_looked_at_without_being_fetched():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/provenance-test/a.svs", b"12345")
    first = stat_source("memory://provenance-test/a.svs")
    assert (first.size, first.mtime) == (5, None)
    assert stat_source("memory://provenance-test/a.svs").same_as(first.to_dict())
    memory.rm("/provenance-test", recursive=True)


def test_a_path_is_taken_from_the_root(tmp_path):
    assert Path(stat_source(str(tmp_path)).uri).is_absolute()
