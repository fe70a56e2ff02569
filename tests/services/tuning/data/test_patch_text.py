"""The pure parts of data about patches: choices, vocabulary, revision, corruption, summaries, animals."""

import random
from collections import Counter

import pytest

from slidelake.errors import UsageError
from slidelake.services.tuning.data.choices import lettered, plain, with_distractors
from slidelake.services.tuning.data.human import animal_in
from slidelake.services.tuning.data.revise import corrupt, revise, reviser_rows
from slidelake.services.tuning.data.row import Evidence, TuningRow, Turn
from slidelake.services.tuning.data.summarise import MOST_TOKENS, summarise
from slidelake.services.tuning.data.tokens import count_tokens
from slidelake.services.tuning.data.vocabulary import held_by, mentions

CAPTION = (
    "Glands lie in a fibrous stroma. Lymphocytes surround them. There is no necrosis. Mitotic"
    " figures are prominent."
)


def test_the_right_choice_stands_at_every_letter_as_often():
    places = Counter(
        lettered("Which?", "fat", ["muscle", "stroma", "glands"], 0, n).right for n in range(400)
    )
    assert set(places) == {0, 1, 2, 3}
    assert min(places.values()) > 70
    made = lettered("Which?", "fat", ["muscle"], 0, 1)
    assert made == lettered("Which?", "fat", ["muscle"], 0, 1)
    assert made.choices[made.right] == "fat"
    assert made.answer in made.text.split("\n")


@pytest.mark.parametrize("wrong", [[], ["The fat"], ["muscle", "Muscles"], [str(n) for n in range(26)]])
def test_choices_that_say_the_same_or_are_none_are_refused(wrong):
    with pytest.raises(UsageError, match="2 to 26 choices"):
        lettered("Which?", "fat", wrong, 0)


def test_no_distractor_is_true_as_well():
    pool = [
        "invasive ductal carcinoma",
        "Ductal carcinoma",
        "fat",
        "the stroma",
        "lymphocytes",
        "lymphocyte",
        "muscle",
    ]
    for seed in range(50):
        made = with_distractors("Which?", "ductal carcinoma", pool, ["stroma"], seed)
        assert made is not None
        wrong = {plain(each) for each in made.choices} - {"ductal carcinoma"}
        assert wrong <= {"fat", "lymphocyte", "muscle"}
    assert with_distractors("Which?", "fat", ["Fat"], [], 0) is None


def test_a_denial_reaches_over_a_list_and_ends_with_its_statement():
    said = {
        each.name: each.denied
        for each in mentions("No necrosis, haemorrhage or atypia, but lymphocytes; mucin.")
    }
    assert said == {
        "necrosis": True,
        "haemorrhage": True,
        "atypia": True,
        "lymphocytes": False,
        "mucin": False,
    }
    assert held_by("Hyperchromatic nuclei without mitoses") == {"hyperchromatic nuclei"}


def test_revision_takes_away_what_nothing_holds_and_what_denies_what_is_held():
    revised = revise(CAPTION, {"glands", "stroma", "lymphocytes", "necrosis"})
    assert revised.text == "Glands lie in a fibrous stroma. Lymphocytes surround them."
    assert [what for _, what in revised.removed] == ["necrosis", "mitotic figures"]


@pytest.mark.parametrize("operation", ["add", "delete", "edit"])
def test_a_corruption_changes_one_finding_and_says_how_to_undo_it(operation):
    other = "Large pools of mucin are seen. Calcification is present."
    made = corrupt(CAPTION, operation, [other], random.Random(1))
    assert made is not None
    assert made.text != CAPTION
    if operation == "add":
        added = made.change.removeprefix("Remove: ")
        assert added in made.text
        assert added in other
        assert held_by(made.text) > held_by(CAPTION)
    elif operation == "delete":
        assert made.change.removeprefix("Add: ") in CAPTION
        assert held_by(made.text) < held_by(CAPTION)
    else:
        now, _, was = made.change.removeprefix("Replace: ").partition(" -> ")
        assert was in CAPTION
        assert now.lower() in made.text.lower()


def test_a_caption_of_one_plain_sentence_cannot_be_corrupted():
    assert all(
        corrupt("Nothing is seen.", each, [], random.Random(0)) is None for each in ("add", "delete", "edit")
    )


def test_reviser_rows_take_what_they_add_from_their_own_split():
    def row(number, text, split):
        evidence = (Evidence("patch", "s"),)
        return TuningRow(
            f"{number}",
            "caption",
            f"p{number}",
            (Turn("user", "?"), Turn("assistant", text)),
            evidence,
            split=split,
        )

    rows = [row(1, CAPTION, "train"), row(2, "Mucin is seen. Fat is seen.", "train")]
    held_out = row(3, "Calcification is seen. Cartilage is seen.", "test")
    made = list(reviser_rows([*rows, held_out], seed=0, each=6))
    assert {each.made_by["operation"] for each in made} >= {"add", "delete"}
    for each in made:
        if each.split == "train" and each.made_by["operation"] == "add":
            assert "artilage" not in each.question
    assert len({each.id for each in made}) == len(made)
    assert all(each.answer.endswith((CAPTION, "seen.")) for each in made)


def test_summaries_keep_to_the_tokens_and_prefer_what_is_new():
    assert summarise(CAPTION) == CAPTION
    long = (
        "The image shows glands in a stroma. "
        + "It goes on and on about nothing at all. " * 20
        + "Necrosis is seen."
    )
    short = summarise(long)
    assert count_tokens(short) <= MOST_TOKENS
    assert short.startswith("Glands in a stroma.")
    assert short.endswith("Necrosis is seen.")


@pytest.mark.parametrize("text", ["glands " * 5000, "x" * 5000, "a, b; " * 900, "é" * 400])
def test_a_sentence_without_an_end_is_cut(text):
    short = summarise(text)
    assert short
    assert count_tokens(short) <= MOST_TOKENS


@pytest.mark.parametrize(
    ("text", "animal"),
    [
        ("A section of mouse liver.", "mouse"),
        ("Lesion in a rabbit with foam cells", "rabbit"),
        ("Canine mammary tumour", "canine"),
        ("Lungs from experimental animals", "experimental animals"),
        ("a rat-tail appearance", None),
        ("mouse anti-human CD3", None),
        ("anti-rabbit antibody", None),
        ("bovine pericardial bioprosthesis", None),
        ("chicken-wire calcification, horseshoe kidney", None),
        ("the left canine tooth", None),
        ("cat scratch disease", None),
        ("FISH with three probes; fish-hook trabeculae", None),
        ("transplantation of the liver", None),
    ],
)
def test_animals_are_told_from_what_is_called_after_them(text, animal):
    assert animal_in(text) == animal
