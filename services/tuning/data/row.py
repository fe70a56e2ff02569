"""One example of tuning data, and where each of its statements comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from slidelake.errors import UsageError

__all__ = ["Evidence", "PatchPlace", "TuningRow", "Turn", "row_id"]

EvidenceKind = Literal["report", "patch", "slide", "caption", "image", "answer"]
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """What one side says. The place of pictures or features is the word `<image>` in a user's turn."""

    role: Role
    text: str


@dataclass(frozen=True)
class PatchPlace:
    """A patch: its slide, the top-left corner and the side in level-0 px, and its row in the space's grid."""

    slide_id: str
    x: int
    y: int
    width: int
    height: int
    row: int | None = None


@dataclass(frozen=True)
class Evidence:
    """What a row was made from, so that anybody can look it up.

    `source` is a report's id, a slide's id, a file's name or a record's id by `kind`; `start:end` the span of the
    text that is quoted, `quote` that span itself, `sha256` the digest of the whole text or image it is cut from.
    """

    kind: EvidenceKind
    source: str
    start: int = 0
    end: int = 0
    quote: str = ""
    sha256: str = ""
    place: PatchPlace | None = None


@dataclass(frozen=True)
class TuningRow:
    """One example: turns that end with the assistant's, the pixels or features they are about, and the evidence.

    `images` are patches of slides of the lake, `image_files` paths relative to the data set's folder; `space` names
    the features to stream where the row is about a slide as a whole. `kind` is "closed" where one of `choices` (or
    yes and no) is right, else "open". `made_by` holds step, generator ("none" for rules), version of its prompt and
    seed. `split` is "train", "val" or "test", the same for all rows of a patient. Raises UsageError for a row without
    patient, without evidence, or whose turns do not end with an answer.
    """

    id: str
    task: str
    patient_id: str
    turns: tuple[Turn, ...]
    evidence: tuple[Evidence, ...]
    slide_id: str = ""
    space: str = ""
    images: tuple[PatchPlace, ...] = ()
    image_files: tuple[str, ...] = ()
    kind: Literal["closed", "open"] = "open"
    choices: tuple[str, ...] = ()
    made_by: Mapping[str, Any] = field(default_factory=dict)
    split: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if not self.patient_id:
            raise UsageError(
                f"row {self.id} of the tuning data has no patient",
                remedy="Rows are split by patient: give each source a patient_id.",
            )
        if not self.evidence:
            raise UsageError(
                f"row {self.id} of the tuning data has no evidence",
                remedy="Name the report span, patch or record that the row was made from.",
            )
        if not self.turns or self.turns[-1].role != "assistant" or not self.turns[-1].text.strip():
            raise UsageError(
                f"row {self.id} of the tuning data does not end with an answer",
                remedy="The last turn must be the assistant's, with words in it.",
            )

    @property
    def question(self) -> str:
        """The last thing the user says."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def answer(self) -> str:
        return self.turns[-1].text

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `TuningRow.read` takes them."""
        return asdict(self) | {"made_by": dict(self.made_by)}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> TuningRow:
        """A row from what `to_dict` gave. Raises UsageError for what is none."""
        try:
            given = dict(values)
            given["turns"] = tuple(Turn(**turn) for turn in given["turns"])
            given["evidence"] = tuple(_evidence(each) for each in given["evidence"])
            given["images"] = tuple(PatchPlace(**each) for each in given.get("images", ()))
            for name in ("image_files", "choices"):
                given[name] = tuple(given.get(name, ()))
            return cls(**given)
        except (KeyError, TypeError, AttributeError) as exc:
            raise UsageError(
                f"not a row of tuning data: {exc}",
                remedy="Take lines that `slidelake tune-data` wrote into rows.jsonl.",
            ) from exc


def row_id(*parts: object) -> str:
    """16 hexadecimal digits that the same parts always give: of what was asked of which source, by which step."""
    told = json.dumps([str(part) for part in parts], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _evidence(values: Mapping[str, Any]) -> Evidence:
    given = dict(values)
    place = given.get("place")
    return Evidence(**given | {"place": PatchPlace(**place) if place else None})
