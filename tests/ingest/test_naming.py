"""What slides and patients are called."""

import pytest

from slidelake.errors import DuplicateSlideError, UsageError
from slidelake.ingest.manifest import ManifestRow
from slidelake.ingest.naming import Namer, PatientRule


def name(uri: str, id_from: str = "stem", root: str | None = None, **row: str) -> str:
    return Namer(id_from, root).name(ManifestRow(uri=uri, **row))


@pytest.mark.parametrize(
    ("uri", "slide_id"),
    [
        ("/data/TCGA-CR-7395-01A.svs", "TCGA-CR-7395-01A"),
        ("/data/a.b.tif", "a.b"),
        ("/data/a.ome.tif", "a"),
        ("/data/a.OME.TIFF", "a"),
        ("/data/noending", "noending"),
        ("/data/series7/0001.dcm", "series7"),
        ("s3://bucket/deep/x.svs", "x"),
        ("file:///data/x.svs", "x"),
    ],
)
def test_by_the_stem(uri, slide_id):
    assert name(uri) == slide_id


def test_offending_letters_are_replaced_and_marked():
    assert name("/data/slide 1.svs").startswith("slide-1-")
    assert len(name("/data/slide 1.svs")) == len("slide-1-") + 8
    assert name("/data/slide 1.svs") != name("/data/slide_1.svs")
    assert "~" not in name("/data/a~b.svs")
    assert len(name(f"/data/{'x' * 200}.svs")) == 80


def test_the_manifests_word_counts():
    assert name("/data/a.svs", slide_id="case 7") == name("/elsewhere/b.svs", slide_id="case 7")
    assert name("/data/a.svs", slide_id="case7") == "case7"


@pytest.mark.parametrize(
    ("uri", "root", "found_under", "slide_id"),
    [
        ("/data/p1/s1.svs", None, "/data", "p1__s1"),
        ("/data/p1/s1.svs", "/data", "", "p1__s1"),
        ("/data/p1/s1.svs", "/data/", "/data/p1", "p1__s1"),
        ("/data/s1.svs", None, "/data", "s1"),
        ("/data/p1/d/s1.ome.tiff", None, "/data", "p1__d__s1"),
        ("s3://bucket/p1/s1.svs", None, "bucket", "p1__s1"),
        ("/data/p1/s1.svs", None, "", "s1"),
    ],
)
def test_by_the_path(uri, root, found_under, slide_id):
    assert Namer("path", root).name(ManifestRow(uri=uri, root=found_under)) == slide_id


def test_a_path_outside_the_root():
    with pytest.raises(UsageError, match="does not lie below"):
        name("/data/a.svs", "path", "/other")


def test_there_are_two_ways():
    with pytest.raises(UsageError, match="--id-from"):
        Namer("name", None)


@pytest.mark.parametrize("second", ["/b/x.svs", "/b/X.svs", "/a/x.tif", "/a/X.SVS"])
def test_one_name_for_two_slides(second):
    namer = Namer("stem", None)
    first = ManifestRow(uri="/a/x.svs")
    assert namer.name(first) == "x"
    with pytest.raises(DuplicateSlideError, match=r"held by /a/x\.svs already") as caught:
        namer.name(ManifestRow(uri=second))
    assert (caught.value.reason, caught.value.slide) == ("duplicate-slide-id", second)
    assert "--id-from path" in caught.value.remedy
    assert namer.name(first) == "x"
    assert namer.known(first) == "x"
    assert namer.known(ManifestRow(uri=second)) is None


def test_paths_that_would_run_into_each_other_do_not():
    namer = Namer("path", None)
    rows = [
        ManifestRow(uri=uri, root="/d") for uri in ("/d/a/b.svs", "/d/a b.svs", "/d/a-b.svs", "/d/a.b.svs")
    ]
    assert len({namer.name(row) for row in rows}) == 4


@pytest.mark.parametrize(
    ("pattern", "slide_id", "patient"),
    [
        (r"^TCGA-..-....", "TCGA-CR-7395-01A", ("TCGA-CR-7395", "pattern")),
        (r"^(\w+)_", "P12_3", ("P12", "pattern")),
        (r"^(?:x)|(\d+)$", "abc7", ("7", "pattern")),
        (r"^Q", "P12_3", ("P12_3", "slide")),
        (None, "P12_3", ("P12_3", "slide")),
    ],
)
def test_patients(pattern, slide_id, patient):
    rule = PatientRule(pattern)
    assert rule.patient(ManifestRow(uri="u"), slide_id) == patient
    assert len(rule.notes()) == (patient[1] == "slide")


def test_the_manifests_patient_counts_more_than_the_pattern():
    rule = PatientRule(r"^\w")
    assert rule.patient(ManifestRow(uri="u", patient_id="007"), "S") == ("007", "manifest")
    assert rule.notes() == []


def test_a_group_that_took_no_part_is_no_patient():
    rule = PatientRule(r"^x|(\d+)$")
    assert rule.patient(ManifestRow(uri="u"), "x-ray") == ("x-ray", "slide")


def test_an_empty_match_is_no_patient():
    assert PatientRule(r"\d*").patient(ManifestRow(uri="u"), "abc") == ("abc", "slide")


def test_no_regular_expression():
    with pytest.raises(UsageError, match="no regular expression"):
        PatientRule("(")


def test_the_run_says_how_many_count_as_their_own_patient():
    rule = PatientRule(None)
    for slide_id in "abc":
        rule.patient(ManifestRow(uri="u"), slide_id)
    (note,) = rule.notes()
    assert "3 slides have no patient given" in note
    assert "--patient-pattern" in note
