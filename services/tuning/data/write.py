"""The data set in the forms that trainers read: rows.jsonl, LLaVA/ShareGPT, OpenAI chat, Parquet, Lance.

rows.jsonl has everything; the other forms are made from it, row by row, so that a data set needs no memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidelake.errors import DamagedStoreError, UsageError
from slidelake.services.tuning.data.files import json_line, new_bytes, new_text
from slidelake.services.tuning.data.image_checks import place_of_image
from slidelake.services.tuning.data.row import PatchPlace, TuningRow
from slidelake.services.tuning.data.tally import Tally

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "OUTPUTS",
    "chat_form",
    "drop_other_images",
    "llava_form",
    "read_rows",
    "write_forms",
    "write_rows",
]

#: All that a run makes beside its steps. The replies that it paid for (answers.jsonl) are kept by --overwrite too.
OUTPUTS = (
    "rows.jsonl", "llava.json", "chat.jsonl", "rows.parquet", "rows.lance", "images", "counts.json", "DATASET.md",
    "sheet.html",
)  # fmt: skip
#: Gives the JPEG of a patch.
Picture = Callable[[PatchPlace], bytes]
_BATCH = 256


def write_rows(folder: Path, rows: Iterable[TuningRow]) -> Tally:
    """Writes rows.jsonl and counts what is in it. Raises UsageError where two rows have one id."""
    tally = Tally()
    ids: set[str] = set()
    with new_text(folder / "rows.jsonl") as out:
        for row in rows:
            if row.id in ids:
                raise UsageError(
                    f"two rows of the tuning data have the id {row.id}",
                    remedy="Make ids with row_id from all that tells two rows apart.",
                )
            ids.add(row.id)
            tally.add(row)
            out.write(json_line(row.to_dict()))
    return tally


def read_rows(path: Path) -> Iterator[TuningRow]:
    """The rows of a rows.jsonl, or of the folder that holds it. Raises UsageError where there is none."""
    path = path / "rows.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"there are no rows {path}", remedy="Make them with `slidelake tune-data`.")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                values = json.loads(line)
            except ValueError as exc:
                raise DamagedStoreError(
                    f"line {number} of {path} is no JSON ({exc})", remedy="Make the rows again."
                ) from exc
            yield TuningRow.read(values)


def write_forms(folder: Path, *, picture: Picture | None = None, lance: bool = False) -> list[str]:
    """Makes the other forms from rows.jsonl; returns the names of the files.

    `picture` gives the pixels of patches: each goes once into images/, and into the Parquet beside its rows. Without
    it patches are named by place alone.
    """
    made = ["rows.jsonl", "llava.json", "chat.jsonl", "rows.parquet"]
    with new_text(folder / "llava.json") as out:
        start = "[\n"
        for row in read_rows(folder):
            files = _image_files(folder, row, picture)
            out.write(start + json.dumps(llava_form(row, files), ensure_ascii=False, allow_nan=False))
            start = ",\n"
        out.write("[]\n" if start == "[\n" else "\n]\n")
    with new_text(folder / "chat.jsonl") as out:
        for row in read_rows(folder):
            out.write(json_line(chat_form(row, _image_files(folder, row, picture))))
    _write_parquet(folder, picture)
    if lance:
        made.append("rows.lance")
        _write_lance(folder)
    if (folder / "images").is_dir():
        made.append("images")
    return made


def drop_other_images(folder: Path, rows: Iterable[TuningRow]) -> None:
    """Removes from images/ what is of no row: pictures of slides that were deleted since an earlier run."""
    named = {name for row in rows for name in (*row.image_files, *map(_image_name, row.images))}
    for place in (folder / "images").glob("*"):
        if f"images/{place.name}" not in named and place.is_file():
            place.unlink()


def _image_name(place: PatchPlace) -> str:
    return f"images/{place.slide_id}_{place.x}_{place.y}_{place.width}x{place.height}.jpg"


def llava_form(row: TuningRow, files: tuple[str, ...] = ()) -> dict[str, Any]:
    """LLaVA's (ShareGPT's) record. `image` is the file of the picture (a list where there are several); a row about a
    slide as a whole has `slide` and `space` instead, whose features stand where `<image>` is."""
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    body: dict[str, Any] = {"id": row.id}
    if files:
        body["image"] = files[0] if len(files) == 1 else list(files)
    if row.slide_id:
        body |= {"slide": row.slide_id, "space": row.space}
    body["split"] = row.split
    body["conversations"] = [{"from": names[turn.role], "value": turn.text} for turn in row.turns]
    return body


def chat_form(row: TuningRow, files: tuple[str, ...] = ()) -> dict[str, Any]:
    """OpenAI's messages; pictures are parts of the user's first message, by relative path, where they stood as
    `<image>`. What is about a whole slide keeps the word `<image>`: no message can hold a slide's features."""
    messages: list[dict[str, Any]] = []
    left = list(files)
    for turn in row.turns:
        if turn.role == "user" and left:
            text = turn.text.replace("<image>", "").strip()
            shown = [{"type": "image_url", "image_url": {"url": each}} for each in left]
            messages.append({"role": "user", "content": [*shown, {"type": "text", "text": text}]})
            left = []
        else:
            messages.append({"role": turn.role, "content": turn.text})
    return {"id": row.id, "split": row.split, "messages": messages}


def _image_files(folder: Path, row: TuningRow, picture: Picture | None) -> tuple[str, ...]:
    """The row's image files; those of its patches are cut where they are not there yet."""
    if picture is None:
        return row.image_files
    names = []
    for place in row.images:
        name = _image_name(place)
        if not (folder / name).exists():
            with new_bytes(folder / name) as aside:
                aside.write_bytes(picture(place))
        names.append(name)
    return (*names, *row.image_files)


def _schema() -> pa.Schema:
    import pyarrow as pa

    numbers = [(name, pa.int64()) for name in ("x", "y", "width", "height", "row")]
    place = pa.struct([("slide_id", pa.string()), *numbers])
    span = [("start", pa.int64()), ("end", pa.int64())]
    told = [(name, pa.string()) for name in ("kind", "source", "quote", "sha256")]
    evidence = pa.struct([*told, *span, ("place", place)])
    turn = pa.struct([("role", pa.string()), ("text", pa.string())])
    image = pa.struct([("path", pa.string()), ("bytes", pa.binary())])
    texts = ("id", "task", "patient_id", "slide_id", "space", "kind", "split", "licence", "made_by")
    lists = {"choices": pa.string(), "turns": turn, "evidence": evidence, "patches": place, "images": image}
    columns = [(name, pa.string()) for name in texts]
    return pa.schema([*columns, *((name, pa.list_(kind)) for name, kind in lists.items())])


def _record(folder: Path, row: TuningRow, picture: Picture | None) -> dict[str, Any]:
    body = row.to_dict()
    body["made_by"] = json.dumps(body["made_by"], ensure_ascii=False, sort_keys=True)
    body["patches"] = body.pop("images")
    body.pop("image_files")
    files = _image_files(folder, row, picture)
    body["images"] = [{"path": name, "bytes": _bytes_of(folder, name)} for name in files]
    return body


def _bytes_of(folder: Path, name: str) -> bytes | None:
    """The file; None where the data set names one that was not copied into it. Names come from other people's files:
    what lies outside the data set's folder is not read."""
    place = place_of_image(folder, name)
    return place.read_bytes() if place is not None and place.is_file() else None


def _batches(folder: Path, picture: Picture | None) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    schema = _schema()
    held: list[dict[str, Any]] = []
    for row in read_rows(folder):
        held.append(_record(folder, row, picture))
        if len(held) == _BATCH:
            yield pa.RecordBatch.from_pylist(held, schema)
            held = []
    if held:
        yield pa.RecordBatch.from_pylist(held, schema)


def _write_parquet(folder: Path, picture: Picture | None) -> None:
    import pyarrow.parquet as pq

    with (
        new_bytes(folder / "rows.parquet") as aside,
        pq.ParquetWriter(aside, _schema(), compression="zstd") as out,
    ):
        for batch in _batches(folder, picture):
            out.write_batch(batch)


def _write_lance(folder: Path) -> None:
    """A LanceDB table `rows` in the data set's folder, made from the Parquet."""
    import lancedb
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / "rows.parquet") as file:
        batches = file.iter_batches(_BATCH)
        lancedb.connect(folder).create_table("rows", data=batches, schema=file.schema_arrow, mode="overwrite")
