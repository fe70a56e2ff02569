"""Attribute prompts by the tissue's origin."""

import pytest

from slidelake.errors import UsageError
from slidelake.index.reports.chunk import estimate_tokens
from slidelake.index.representatives import ATTRIBUTES, attribute_prompts, known_origin
from slidelake.index.representatives.attributes import _STUDIES, origin_of_metadata, origin_of_texts


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ("kidney", "kidney"), ("Renal cortex", "kidney"), ("TCGA-KIRC", "kidney"), ("brca", "breast"),
        ("sigmoid colon", "colon"), ("Base of tongue", "head and neck"), ("uterine cervix", "cervix"),
    ],
)  # fmt: skip
def test_origins_by_their_names(said: str, origin: str) -> None:
    assert known_origin(said) == origin


def test_every_name_leads_to_prompts() -> None:
    for origin in ATTRIBUTES:
        assert known_origin(origin) == origin
        prompts = attribute_prompts(origin)
        assert len(set(prompts)) == len(prompts)
        assert all(estimate_tokens(prompt) <= 40 for prompt in prompts)
        assert prompts[: len(ATTRIBUTES[origin])] == tuple(
            f"H&E stained {origin}: {each}" for each in ATTRIBUTES[origin]
        )
    assert set(_STUDIES.values()) <= set(ATTRIBUTES)
    assert set(attribute_prompts()) < set(attribute_prompts("colon"))


def test_an_unknown_origin_is_refused() -> None:
    with pytest.raises(UsageError, match="no attribute prompts for tissue of 'granite'"):
        known_origin("granite")


def test_where_a_tissue_is_from() -> None:
    assert origin_of_metadata({"age": 61, "site": "larynx"}) == "head and neck"
    assert origin_of_metadata({"Site": None, "project_id": "TCGA-BLCA"}) == "bladder"
    assert origin_of_metadata({"site": "granite"}) == ""
    assert (
        origin_of_texts(
            ["Colon, resection: adenocarcinoma. Colonic mucosa.", "Lymph nodes, lymph node, node."]
        )
        == "colon"
    )
    assert origin_of_texts(["Lymph node with follicles"]) == "lymph node"
    assert origin_of_texts([]) == ""
