"""What slides and patients are called (FORMAT, Ids)."""

import re
from pathlib import PurePosixPath

from slidelake.errors import DuplicateSlideError, UsageError
from slidelake.ingest.local_copy import is_remote, local_path
from slidelake.ingest.manifest import ManifestRow
from slidelake.store import slide_id_of, slug

__all__ = ["Namer", "PatientRule"]


class Namer:
    """Names the slides of one run; a name that another source of the run holds is refused."""

    def __init__(self, id_from: str, root: str | None) -> None:
        if id_from not in ("stem", "path"):
            raise UsageError(f"--id-from cannot be {id_from!r}", remedy="Choose stem or path.")
        self._id_from = id_from
        self._root = root
        self._holders: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def name(self, row: ManifestRow) -> str:
        """The slide_id of a row. Raises DuplicateSlideError."""
        slide_id = self.wanted(row)
        holder = self._holders.setdefault(slide_id.lower(), row.uri)
        if holder != row.uri:
            raise DuplicateSlideError(
                f"the name {slide_id} is held by {holder} already",
                remedy="Pass --id-from path, or give both a slide_id in a manifest.",
                slide=row.uri,
            )
        self._names[row.uri] = slide_id
        return slide_id

    def wanted(self, row: ManifestRow) -> str:
        """What a row would be called, whoever holds that name."""
        return slug(row.slide_id) if row.slide_id else self._from_uri(row.uri, row.root, row.stem)

    def known(self, row: ManifestRow) -> str | None:
        """The name given to a row; None where it was refused one."""
        return self._names.get(row.uri)

    def _from_uri(self, uri: str, found_under: str, stem: str) -> str:
        if self._id_from == "stem":
            if stem:
                return slug(stem)
            path = PurePosixPath(uri)
            # A DICOM slide is a folder of instances: their file names are numbers.
            return slide_id_of(str(path.parent) if path.suffix.lower() == ".dcm" else uri)
        root = self._root or found_under or str(PurePosixPath(uri).parent)
        plain = uri.split("://", 1)[1] if is_remote(uri) else local_path(uri)
        try:
            relative = PurePosixPath(plain).relative_to(root)
        except ValueError as exc:
            raise UsageError(f"{uri} does not lie below {root}", remedy="Pass another --root.") from exc
        name = slide_id_of(relative.name)
        folder = str(relative.parent)
        return slug((name if folder == "." else f"{folder}/{name}").replace("/", "__"))


class PatientRule:
    """Who a slide's patient is: the manifest's word, else a pattern's match in the slide id, else the slide."""

    def __init__(self, pattern: str | None) -> None:
        try:
            self._pattern = re.compile(pattern) if pattern else None
        except re.error as exc:
            raise UsageError(
                f"--patient-pattern {pattern!r} is no regular expression: {exc}",
                remedy="Write e.g. '^TCGA-..-....'.",
            ) from exc
        self._own = 0

    def patient(self, row: ManifestRow, slide_id: str) -> tuple[str, str]:
        """patient_id, and who said so: manifest, pattern or slide."""
        if row.patient_id:
            return row.patient_id, "manifest"
        found = self._pattern.search(slide_id) if self._pattern else None
        patient = found[1] if found is not None and found.groups() else found and found[0]
        if patient:  # neither a group that took no part nor an empty match names anybody
            return patient, "pattern"
        self._own += 1
        return slide_id, "slide"

    def notes(self) -> list[str]:
        """What a person should know: slides that count as patients of their own."""
        if not self._own:
            return []
        return [
            f"{self._own} slides have no patient given: each counts as its own patient (--patient-pattern)"
        ]
