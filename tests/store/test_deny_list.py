"""The deny-list: keyed, without clear text, and never overlooked because a key is missing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from slidelake.errors import SlideDeletedError, StoreError
from slidelake.store import DenyList, FeatureStore, Redactor, StoreInfo, words_of
from slidelake.store.testing import add_slide


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    url = str(tmp_path / "store") if request.param == "local" else f"memory://deny-{tmp_path.name}"
    return FeatureStore.open(url, create=True)


def test_what_is_found(store: FeatureStore) -> None:
    denied = store.denied
    assert denied.find(slide_id="S1", patient_id="P", uri="/a/S1.svs", checksum="x:1") is None
    denied.add(slide_id="S1", patient_id="P", uri="/a/S1.svs", checksum="x:1")
    assert denied.find(slide_id="s1") == "slide"
    assert denied.find(patient_id="P") == "patient"
    assert denied.find(patient_id="p") is None
    assert denied.find(uri="file:///a/S1.svs") == "uri"
    assert denied.find(slide_id="other", checksum="x:1") == "checksum"
    assert denied.find(slide_id="P", patient_id="S1", uri="x:1") is None
    assert denied.find() is None
    assert denied.among("slide", ["S1", "s1", "S2", ""]) == {"S1", "s1"}
    assert denied.count() == 4
    with pytest.raises(SlideDeletedError, match=r"S1: its content .*slidelake allow"):
        denied.refuse("S1", slide_id="S9", checksum="x:1")


def test_golden_value() -> None:
    info = StoreInfo(1, "id", hash_key="key")
    mark = DenyList.__new__(DenyList)
    mark._own = info.hash_key
    # printf 'slide\0s1' | openssl dgst -sha256 -hmac key
    assert mark.hash_of("slide", "S1") == "fa5ef8d02ec273355bda1d8c4ddbf980bc3cec91804e5bec4dd35fde5a232cab"


def test_no_clear_text(store: FeatureStore) -> None:
    store.denied.add(
        slide_id="Secret-1", patient_id="Secret-2", uri="s3://b/Secret-3.svs", now=datetime.now(UTC)
    )
    for key in store.objects.list("denied"):
        assert "secret" not in key.lower()
        assert b"secret" not in store.objects.read(key).lower()


def test_the_first_entry_stays_and_who_it_is_there_for(store: FeatureStore) -> None:
    denied = store.denied
    slide, patient = denied.hash_of("slide", "S1"), denied.hash_of("patient", "P")
    denied.add(patient_id="P", because=[patient])
    denied.add(slide_id="S1", uri="u1", because=[slide, patient])
    denied.add(slide_id="S2", uri="u2", because=[denied.hash_of("slide", "S2"), patient])
    token = (denied.entry(slide_id="S1") or {})["token"]
    denied.add(slide_id="S1", because=[slide])
    assert (denied.entry(slide_id="s1") or {})["token"] == token
    assert denied.allow(slide_id="S1") == 2
    assert denied.find(slide_id="S1", uri="u1") is None
    assert denied.find(slide_id="S2") == "slide"
    assert denied.allow(patient_id="P") == 3
    assert denied.allow(patient_id="P") == 0
    assert denied.count() == 0


def test_a_key_of_ones_own(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.denied.add(slide_id="old")
    monkeypatch.setenv("SLIDELAKE_KEY", "a hospital's key")
    assert store.denied.find(slide_id="old") == "slide", "what the store's own key says goes on"
    store.denied.add(slide_id="S1")
    assert store.denied.find(slide_id="S1") == "slide"
    for other in ("", "another key"):
        monkeypatch.setenv("SLIDELAKE_KEY", other)
        # Nobody can tell now who was deleted: nothing may come in.
        with pytest.raises(StoreError, match="SLIDELAKE_KEY"):
            store.denied.find(slide_id="S1")
        with pytest.raises(StoreError, match="SLIDELAKE_KEY"):
            add_slide(store, "S3")
    monkeypatch.setenv("SLIDELAKE_KEY", "a hospital's key")
    add_slide(store, "S3")
    assert store.slide_ids() == ["S3"]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("S1", True),
        ("/archive/P1_S1.svs", True),
        ("archive/s1*.svs", True),
        ("S10.svs", False),
        ("/archive/TCGA-CR-7395-01.svs", True),
        ("/archive/TCGA-CR-73950.svs", False),
        ("made", False),
        ("", False),
    ],
)
def test_texts_that_hold_a_name(store: FeatureStore, text: str, held: bool) -> None:
    words = words_of(slide_id="S1", patient_id="TCGA-CR-7395", uri="file:///archive/S1.svs")
    clean = Redactor(store.denied, words).text(text)
    assert clean.startswith("deleted:") == held
    assert held or clean == text


def test_a_report_keeps_its_form(store: FeatureStore) -> None:
    store.denied.add(slide_id="made")
    outcomes = [
        {"slide_id": "made", "uri": "/a/made.svs", "state": "made", "reason": "", "patches": 7},
        {"slide_id": "other", "uri": "/a/other.svs", "state": "made", "message": "beside /a/made.svs"},
    ]
    report = {"run_id": "made", "asked": {"sources": ["/a/made.svs", "/a"]}, "outcomes": outcomes}
    clean = Redactor(store.denied).report(report)
    assert [each["state"] for each in clean["outcomes"]] == ["made", "made"]
    assert clean["outcomes"][0]["patches"] == 7
    assert clean["outcomes"][1]["uri"] == "/a/other.svs"
    assert clean["run_id"] == "made"
    assert clean["asked"]["sources"][1] == "/a"
    told = [clean["outcomes"][0]["slide_id"], clean["outcomes"][1]["message"], clean["asked"]["sources"][0]]
    assert all(text.startswith("deleted:") for text in told)
    assert Redactor(store.denied).report(clean) == clean
