"""Names, as FORMAT.md fixes them: golden values that may never change."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidelake.errors import UsageError
from slidelake.store import (
    FeatureStore,
    fingerprint_id,
    quarantine_key,
    slide_id_of,
    slug,
    slug_of_path,
    split_space,
)
from slidelake.store.ids import require_slug


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TCGA-CR-7395-01A-01-TS1", "TCGA-CR-7395-01A-01-TS1"),
        ("a.b_c-D9", "a.b_c-D9"),
        ("slide 1", "slide-1-759c20c6"),
        ("Präparat", "Pr-parat-e9d49fd7"),
        ("a~b", "a-b-941528e5"),
        ("a/b", "a-b-c14cddc0"),
        (".hidden", "-hidden-16924190"),
        ("..", "-.-5ec1f7e7"),
        ("", "-e3b0c442"),
        ("con", "con-1143da2b"),
        ("NUL.svs", "NUL-svs-892e1548"),
        ("com1", "com1-957a49c3"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 71 + "-4d1f7bb8"),
    ],
)
def test_slug(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_slug_of_encoders_is_shorter() -> None:
    assert slug("x" * 60, 60) == "x" * 60
    assert len(slug("x" * 61, 60)) == 60


@given(st.text(max_size=200))
def test_a_slug_is_safe_and_stays(text: str) -> None:
    made = slug(text)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}", made)
    assert made.partition(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert slug(made) == made
    if set(text) <= set(string.ascii_letters + string.digits + "_-") and 0 < len(text) <= 80:
        assert made.startswith(text[:71])


@given(st.text(max_size=90), st.text(max_size=90))
def test_two_texts_never_share_a_slug(one: str, other: str) -> None:
    assert (slug(one) == slug(other)) == (one == other) or slug(one) in (one, other)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/data/TCGA-CR-7395.svs", "TCGA-CR-7395"),
        ("TCGA-CR-7395-01A-01-TS1.a1b2.svs", "TCGA-CR-7395-01A-01-TS1.a1b2"),
        ("s3://bucket/cohort/S1.ome.tif", "S1"),
        ("S1.OME.TIFF", "S1"),
        ("S1.ome", "S1"),
        (".ome.tif", "-ome-0ba8d0a1"),
        ("/dicom/series-7/", "series-7"),
        ("https://host/a%20b.svs?v=1", "a-b-c8687a08"),
        ("C:\\slides\\S2.ndpi", "S2"),
        ("noext", "noext"),
    ],
)
def test_slide_id_of(uri: str, expected: str) -> None:
    assert slide_id_of(uri) == expected


def test_slug_of_path() -> None:
    assert slug_of_path("site-a/case-1/S1.svs") == "site-a__case-1__S1"
    assert slug_of_path("S1.ome.tiff") == "S1"


def test_fingerprint_id() -> None:
    fingerprint = {"name": "uni2-h", "dim": 1536, "input_px": 224, "weights_sha256": "ab", "stain": "µ"}
    assert fingerprint_id("uni2-h", fingerprint) == "uni2-h.2e65660e"
    # The order of the keys says nothing; any value does.
    assert fingerprint_id("uni2-h", dict(reversed(fingerprint.items()))) == "uni2-h.2e65660e"
    assert fingerprint_id("uni2-h", {**fingerprint, "dim": 1024}) != "uni2-h.2e65660e"
    assert fingerprint_id("timm:vit/s", {}) == "timm-vit-s-0d6781d9.44136fa3"


def test_quarantine_key() -> None:
    asked = {"encoder": "uni2-h.3fa9c1d2", "grid": "256px-0.5mpp"}
    assert quarantine_key("file:///a.svs", asked) == "04881755fc10721e81448b622af5983a"
    assert (
        quarantine_key("file:///a.svs", dict(reversed(asked.items()))) == "04881755fc10721e81448b622af5983a"
    )
    assert quarantine_key("file:///b.svs", asked) != "04881755fc10721e81448b622af5983a"


def test_split_space() -> None:
    assert split_space("256px-0.5mpp/uni2-h.3fa9c1d2") == ("256px-0.5mpp", "uni2-h.3fa9c1d2")
    for bad in ("uni2-h", "../x", "a/b/c", "a/", "/b"):
        with pytest.raises(UsageError):
            split_space(bad)


HOSTILE = ["..", "../../etc", "/etc/passwd", "a/../..", "~", "~root", ".", "", "a~b", "C:\\x", "x\0y", "nul"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ids_never_reach_a_path(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    store = FeatureStore.open(folder / "store", create=True)
    before = sorted(folder.rglob("*"))
    with pytest.raises(UsageError):
        require_slug(name, "slide_id")
    with pytest.raises(UsageError):
        store.state(name)
    with pytest.raises(UsageError):
        store.close_epoch(name)
    with pytest.raises(UsageError):
        store.bag_writer(name, "256px-0.5mpp", "x.00000000", dim=2)
    with pytest.raises(UsageError):
        store.commit("S1", "grid", name)
    with pytest.raises(UsageError):
        store.put_run(name, {})
    with pytest.raises(UsageError):
        store.quarantine.put(name, {})
    assert sorted(folder.rglob("*")) == before
    # Their slugs are ids like any other.
    store.state(slug(name))
