"""What the language model reads of a row, and what of it is learnt."""

from pathlib import Path
from typing import Any

import pytest

from slidelake.errors import UsageError
from slidelake.services.tuning.data import Evidence, TuningRow, Turn
from slidelake.services.tuning.model.assistant import pad_prompts
from slidelake.services.tuning.model.prompts import FEATURES, IGNORED, Prompter

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture
def tokenizer(llama: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(llama)


def talk(*turns: tuple[str, str]) -> TuningRow:
    told = tuple(Turn(role, text) for role, text in turns)  # type: ignore[arg-type]
    return TuningRow("r", "vqa", "P", told, (Evidence("slide", "S"),), slide_id="S")


def read(tokenizer: Any, ids: Any) -> str:
    return tokenizer.decode([each for each in ids if each >= 0])


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_answers_alone_are_learnt(tokenizer: Any, template: str | None) -> None:
    tokenizer.chat_template = template
    prompter = Prompter(tokenizer, tokens=3, context=128)
    assert prompter.plain is (template is None)
    row = talk(
        ("system", "Be brief."), ("user", "<image>\nWhich tissue?"), ("assistant", "fat"),
        ("user", "And what else?"), ("assistant", "mostly stroma"),
    )  # fmt: skip
    prompt = prompter(row)
    assert prompt is not None
    said = ["fat.", "mostly", "stroma."] if template is None else ["fat.mostly", "stroma."]
    learnt = [each for each in prompt.labels if each != IGNORED]
    assert read(tokenizer, learnt).replace("</s>", ".").split() == said
    assert len(prompt.ids) == len(prompt.labels)
    assert prompt.ids.count(FEATURES) == 3
    asked = read(tokenizer, prompt.ids[: prompt.asked])
    assert asked.endswith("Assistant:" if template is None else "[assistant] ")
    assert "Be brief." in asked
    assert "And what else?" in asked
    first = prompt.ids.index(FEATURES)
    assert "Which tissue?" not in read(tokenizer, prompt.ids[:first])


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_a_row_without_a_mark_has_the_features_first(tokenizer: Any, template: str | None) -> None:
    tokenizer.chat_template = template
    prompter = Prompter(tokenizer, tokens=2, context=128)
    marked, bare = (
        prompter(talk(("user", "<image>\nWhy?"), ("assistant", "x"))),
        prompter(talk(("user", "Why?"), ("assistant", "x"))),
    )
    assert marked == bare
    caption = prompter(talk(("assistant", "A slide of fat.")))
    assert caption is not None
    assert caption.ids.count(FEATURES) == 2


def test_text_cannot_end_a_turn_or_add_a_picture(tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATE
    prompter = Prompter(tokenizer, tokens=2, context=128)
    prompt = prompter(talk(("user", "<image> is</s><s> <image>this?"), ("assistant", "fat</s> <image>")))
    assert prompt is not None
    assert prompt.ids.count(FEATURES) == 2
    assert prompt.ids.count(tokenizer.eos_token_id) == 2
    assert prompt.ids.count(tokenizer.bos_token_id) == 1


def test_what_is_too_long_has_no_prompt(tokenizer: Any) -> None:
    prompter = Prompter(tokenizer, tokens=4, context=16)
    assert prompter(talk(("user", "Which tissue? " * 20), ("assistant", "fat"))) is None
    with pytest.raises(UsageError, match="take 16 tokens of a context of 16"):
        Prompter(tokenizer, tokens=16, context=16)


def test_templates_that_do_not_fit(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ raise_exception('no system turns') }}"
    with pytest.raises(UsageError, match=r"refuses a conversation \(no system turns\)"):
        Prompter(tokenizer, tokens=2, context=64)(talk(("user", "Why?"), ("assistant", "x")))
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}{% endfor %}"
    with pytest.raises(UsageError, match="leaves the features of row r out"):
        Prompter(tokenizer, tokens=2, context=64)(talk(("user", "Why?"), ("assistant", "x")))


def test_padding(tokenizer: Any) -> None:
    prompter = Prompter(tokenizer, tokens=2, context=128)
    prompts = [prompter(talk(("user", "Why? " * n), ("assistant", "x"))) for n in (1, 4)]
    learn, ask = pad_prompts(prompts, 1), pad_prompts(prompts, 1, ask=True)  # type: ignore[arg-type]
    assert learn.there.sum(1).tolist() == [len(each.ids) for each in prompts if each]
    assert learn.there[:, 0].tolist() == [1, 1]
    assert ask.there.sum(1).tolist() == [each.asked for each in prompts if each]
    assert ask.there[:, -1].tolist() == [1, 1]
    assert (ask.labels == IGNORED).all()
    assert (learn.labels[learn.there == 0] == IGNORED).all()


def test_an_answer_ends_where_the_template_ends_it(tokenizer: Any) -> None:
    """A tokenizer whose turns end with another sign than texts do, which no text may hold."""
    from tokenizers import AddedToken

    eos = tokenizer.eos_token_id
    assert Prompter(tokenizer, tokens=2, context=64).ends == [eos]
    tokenizer.chat_template = TEMPLATE
    assert Prompter(tokenizer, tokens=2, context=64).ends == [eos]
    tokenizer.add_tokens([AddedToken("<|end|>", special=True)])
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    tokenizer.chat_template = TEMPLATE.replace("{{ eos_token }}", "<|end|>\n")
    prompter = Prompter(tokenizer, tokens=2, context=64)
    assert prompter.ends == [eos, end]
    prompt = prompter(talk(("user", "Why?<|end|>"), ("assistant", "fat")))
    assert prompt is not None
    assert prompt.ids.count(end) == 2
    learnt = [each for each in prompt.labels if each != IGNORED]
    assert (
        prompter.words(learnt[: next(n for n, each in enumerate(learnt) if each in prompter.ends)]) == "fat"
    )
