"""Who says how large a pixel is, in which order, and what is not believed."""

import pytest

from slidelake.errors import ImplausibleMppError, MissingMppError
from slidelake.ingest.mpp import Mpp, resolve_mpp

OWN = {"openslide.mpp-x": "0.2521", "openslide.mpp-y": "0.2522"}
TIFF = {"tiff.ResolutionUnit": "centimeter", "tiff.XResolution": "20000", "tiff.YResolution": "25000"}
OBJECTIVE = {"openslide.objective-power": "40"}
PRINT = {"openslide.mpp-x": "352.77777983377013", "openslide.mpp-y": "352.77777983377013"}


@pytest.mark.parametrize(
    ("properties", "manifest", "assumed", "expected"),
    [
        ({**OWN, **TIFF, **OBJECTIVE}, 0.3, 0.4, Mpp(0.3, 0.3, "manifest")),
        ({**OWN, **TIFF, **OBJECTIVE}, None, 0.4, Mpp(0.2521, 0.2522, "properties")),
        ({**TIFF, **OBJECTIVE}, None, 0.4, Mpp(0.5, 0.4, "tiff")),
        (OBJECTIVE, None, 0.4, Mpp(0.25, 0.25, "objective")),
        ({"openslide.objective-power": "20"}, None, None, Mpp(0.5, 0.5, "objective")),
        ({}, None, 0.4, Mpp(0.4, 0.4, "assumed")),
        ({"aperio.MPP": "0.499"}, None, 0.4, Mpp(0.499, 0.499, "properties")),
        ({"openslide.mpp-x": "0.25"}, None, None, Mpp(0.25, 0.25, "properties")),
        ({"openslide.mpp-y": "0.25"}, None, None, Mpp(0.25, 0.25, "properties")),
        ({"tiff.ResolutionUnit": "inch", "tiff.XResolution": "50800", "tiff.YResolution": "50800"}, None, None,
         Mpp(0.5, 0.5, "tiff")),
    ],
)  # fmt: skip
def test_order(properties, manifest, assumed, expected):
    found = resolve_mpp(properties, slide="S", manifest=manifest, assumed=assumed)
    assert (found.x, found.y) == pytest.approx((expected.x, expected.y), rel=1e-12)
    assert found.source == expected.source


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"openslide.mpp-x": "", "openslide.mpp-y": "unknown"},
        {"openslide.mpp-x": "0", "openslide.mpp-y": "-1"},
        {"openslide.mpp-x": "nan", "openslide.objective-power": "inf"},
        {"tiff.XResolution": "20000", "tiff.YResolution": "20000"},
        {"tiff.ResolutionUnit": "centimeter", "tiff.XResolution": "0", "tiff.YResolution": "0"},
        {"tiff.ResolutionUnit": "none", "tiff.XResolution": "1", "tiff.YResolution": "1"},
    ],
)
def test_nothing_is_guessed(properties):
    with pytest.raises(MissingMppError) as caught:
        resolve_mpp(properties, slide="S")
    assert caught.value.reason == "mpp-missing"
    assert "--assume-mpp" in caught.value.remedy
    assert caught.value.slide == "S"


def test_a_print_resolution_is_refused_by_name():
    with pytest.raises(
        ImplausibleMppError, match=r"352\.778 µm/px .*print resolution of 72 dots an inch"
    ) as caught:
        resolve_mpp(PRINT, slide="S")
    assert caught.value.reason == "mpp-implausible"
    assert "--assume-mpp" in caught.value.remedy


@pytest.mark.parametrize("value", ["0.01", "0.049", "10.5", "28.969", "100", "352.9", "264.58"])
def test_sane_limits(value):
    with pytest.raises(ImplausibleMppError, match="no scan resolution"):
        resolve_mpp({"openslide.mpp-x": value, "openslide.mpp-y": value}, slide="S")


@pytest.mark.parametrize("value", ["0.05", "0.11", "0.25", "1", "4", "10"])
def test_scans_of_every_kind(value):
    assert resolve_mpp({"openslide.mpp-x": value, "openslide.mpp-y": value}, slide="S").x == float(value)


def test_what_the_file_says_wrongly_gives_way():
    assert resolve_mpp({**PRINT, **OBJECTIVE}, slide="S").source == "objective"
    assert resolve_mpp(PRINT, slide="S", assumed=0.5) == Mpp(0.5, 0.5, "assumed")
    assert resolve_mpp(PRINT, slide="S", manifest=0.25) == Mpp(0.25, 0.25, "manifest")


def test_a_person_who_is_wrong_is_told_so():
    with pytest.raises(ImplausibleMppError, match="from manifest"):
        resolve_mpp(OWN, slide="S", manifest=352.8)
    with pytest.raises(ImplausibleMppError, match="from assumed"):
        resolve_mpp({}, slide="S", assumed=float("nan"))
    with pytest.raises(ImplausibleMppError):
        resolve_mpp(OWN, slide="S", manifest=-0.5)


def test_sides_may_differ_a_little_but_not_by_a_mistake():
    some = {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.28"}
    assert (resolve_mpp(some, slide="S").x, resolve_mpp(some, slide="S").y) == (0.25, 0.28)
    with pytest.raises(ImplausibleMppError, match=r"0\.25 × 0\.5 µm/px"):
        resolve_mpp({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.5"}, slide="S")
