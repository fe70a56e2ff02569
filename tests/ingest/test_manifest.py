"""The manifest: what a person says of the slides."""

from pathlib import Path

import pandas as pd
import pytest

from slidelake.errors import ManifestError
from slidelake.ingest.manifest import read_manifest


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_columns(tmp_path):
    path = write(
        tmp_path / "m.csv",
        "uri, slide_id ,patient_id,mpp,site,age\n"
        "a.svs,007,0042,0.25,larynx,61\n"
        "sub/b.svs,,,,tongue,\n"
        "/abs/c.svs,C,P,,,48\n"
        "s3://bucket/d.svs,D,P,0.5,,\n",
    )
    first, second, third, fourth = read_manifest(path)
    assert first.uri == str(tmp_path / "a.svs")
    assert (first.slide_id, first.patient_id, first.mpp) == ("007", "0042", 0.25)
    assert first.metadata == {"site": "larynx", "age": 61}
    assert (second.uri, second.slide_id, second.patient_id, second.mpp) == (
        str(tmp_path / "sub/b.svs"),
        "",
        "",
        None,
    )
    assert second.metadata == {"site": "tongue"}
    assert third.uri == "/abs/c.svs"
    assert third.metadata == {"age": 48}
    assert fourth.uri == "s3://bucket/d.svs"


def test_a_relative_manifest_counts_from_its_own_folder(tmp_path, monkeypatch):
    write(tmp_path / "m.csv", "uri\nslides/a.svs\n../b.svs\n")
    monkeypatch.chdir(tmp_path.parent)
    rows = read_manifest(f"{tmp_path.name}/m.csv")
    assert [row.uri for row in rows] == [str(tmp_path / "slides" / "a.svs"), str(tmp_path.parent / "b.svs")]


def test_parquet_tells_the_same(tmp_path):
    table = pd.DataFrame(
        {
            "uri": ["a.svs", "b.svs"],
            "slide_id": ["007", None],
            "mpp": [0.25, None],
            "age": [61, 48],
            "site": ["x", None],
        }
    )
    table.to_parquet(tmp_path / "m.parquet")
    first, second = read_manifest(tmp_path / "m.parquet")
    assert (first.slide_id, first.mpp, first.metadata) == ("007", 0.25, {"age": 61, "site": "x"})
    assert (second.slide_id, second.mpp, second.metadata) == ("", None, {"age": 48})


def test_ids_that_are_numbers_in_parquet_are_text_here(tmp_path):
    pd.DataFrame({"uri": ["a.svs"], "slide_id": [7], "patient_id": [42]}).to_parquet(tmp_path / "m.parquet")
    (row,) = read_manifest(tmp_path / "m.parquet")
    assert (row.slide_id, row.patient_id) == ("7", "42")


def test_numbers_of_patients_where_some_are_missing_stay_whole(tmp_path):
    pd.DataFrame({"uri": ["a.svs", "b.svs"], "patient_id": [42, None]}).to_parquet(tmp_path / "m.parquet")
    first, second = read_manifest(tmp_path / "m.parquet")
    assert (first.patient_id, second.patient_id) == ("42", "")


def test_names_that_pandas_would_take_for_missing(tmp_path):
    """A patient called NA or null is a patient."""
    path = write(tmp_path / "m.csv", "uri,slide_id,patient_id,site\na.svs,None,NA,NA\nb.svs,null,nan,x\n")
    first, second = read_manifest(path)
    assert (first.slide_id, first.patient_id) == ("None", "NA")
    assert (second.slide_id, second.patient_id) == ("null", "nan")
    assert (first.metadata, second.metadata) == ({}, {"site": "x"})


def test_a_byte_order_mark_and_quotes(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes('\ufeffuri,site\n"with, comma.svs","Müller–Gang"\n'.encode())
    (row,) = read_manifest(path)
    assert row.uri.endswith("with, comma.svs")
    assert row.metadata == {"site": "Müller–Gang"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,mpp\na.svs,0.5\n", "has no column uri"),
        ("uri\na.svs\na.svs\n", "twice"),
        ("uri,slide_id\na.svs,S\nb.svs,S\n", "slide_id 'S' twice"),
        ("uri,slide_id\na.svs,s\nb.svs,S\n", "twice"),
        ("uri,mpp\na.svs,0.5\n,0.5\n", "line 3: no uri"),
        ("uri,mpp\na.svs,half\n", "line 2: mpp 'half' is no number"),
        ("uri,uri\na.svs,b.svs\n", "twice"),
        ("", "cannot be read"),
        ("uri,site\na.svs,x\nb.svs,x,y,z\n", "line 3: 4 fields under 2 columns"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, told):
    path = write(tmp_path / "m.csv", text)
    with pytest.raises(ManifestError, match=r"m\.csv") as caught:
        read_manifest(path)
    assert told in caught.value.problem
    assert caught.value.remedy.endswith(".")


def test_no_manifest(tmp_path):
    with pytest.raises(ManifestError, match="there is no manifest"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(ManifestError, match="there is no manifest"):
        read_manifest(tmp_path / "m.parquet")


def test_no_table(tmp_path):
    (tmp_path / "m.parquet").write_bytes(b"not parquet")
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00\x01uri")
    for name in ("m.parquet", "m.csv"):
        with pytest.raises(ManifestError, match="cannot be read"):
            read_manifest(tmp_path / name)
    with pytest.raises(ManifestError):
        read_manifest(tmp_path)


def test_a_header_alone_names_no_slide(tmp_path):
    assert read_manifest(write(tmp_path / "m.csv", "uri,site\n")) == []
