"""The reports of a store, `reports/<pp>/<report_id>/<generation>.json`: one generation a changed text.

A generation is put if absent, and then the older ones go: a text that was corrected is not kept. The first is
numbered by its content, so that a report that was removed and came back with another text is never taken for what an
index knows; a change adds one. The highest counts.

Deletion (FORMAT.md, "Deleting"): a report of a denied patient goes. One that names denied slides goes too, unless it
names a living slide besides: then it is written anew without the others' ids. A report that names no slide is the
patient's: it goes with the last of the patient's slides. What has to go is told by the deny-list alone, and what it
refuses does not come in again.
"""

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from slidelake.errors import DamagedStoreError, SlideDeletedError, StoreError, UnknownNameError, UsageError
from slidelake.store.ids import require_slug, slug
from slidelake.store.listing import readers
from slidelake.store.redact import words_of
from slidelake.store.report import Report, ReportHead, denied_name

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore

__all__ = ["REPORTS", "ReportStore", "parse_report", "report_key"]

log = logging.getLogger(__name__)

REPORTS = "reports"
FORMAT = 1
# Each lost race means that another writer won one, so a long row of them is a fault, not contention.
_ATTEMPTS = 100
_KEY = re.compile(rf"{REPORTS}/[0-9a-f]{{2}}/([^/]+)/([0-9]{{10}})\.json")


class ReportStore:
    """The reports of one store. A snapshot's store shows them as they are now, and writes none."""

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store
        # A generation's content never changes, so that what was read of it stands.
        self._heads: dict[str, ReportHead] = {}

    # Reading

    def versions(self) -> dict[str, int]:
        """Each report's latest generation by its id, sorted; one listing."""
        return {report_id: max(there) for report_id, there in self._listed().items()}

    def ids(self) -> list[str]:
        """The ids of all reports, sorted."""
        return list(self._listed())

    def get(self, report_id: str) -> Report:
        """One report; raises UnknownNameError, DamagedStoreError."""
        found = self._latest(slug(report_id))
        if found is None:
            raise UnknownNameError(
                f"the store {self._store.url} has no report {report_id}",
                remedy="slidelake reports list shows them.",
            )
        return found

    def iterate(self, report_ids: Iterable[str] | None = None) -> Iterator[Report]:
        """All reports, or those named, by their ids; what is removed meanwhile is passed over."""
        for report_id in sorted(report_ids) if report_ids is not None else self.ids():
            report = self._latest(report_id)
            if report is not None:
                yield report

    def heads(self) -> list[ReportHead]:
        """Every report without its text, by id. What was read before is not read again while it stands; one that is
        damaged is left out, and logged: verify names it."""
        versions = self.versions()
        # Another thread may put a newer table of what is known in its place meanwhile.
        known = self._heads
        stale = [
            report_id for report_id, number in versions.items()
            if report_id not in known or known[report_id].generation != number
        ]  # fmt: skip
        fresh: dict[str, ReportHead] = {}
        if stale:
            with ThreadPoolExecutor(readers(self._store.objects)) as pool:
                for head in pool.map(self._head, stale):
                    if head is not None:
                        fresh[head.report_id] = head
        here = {report_id: fresh.get(report_id) or known.get(report_id) for report_id in versions}
        gone = set(stale) - fresh.keys()
        self._heads = {report_id: head for report_id, head in here.items() if head and report_id not in gone}
        return list(self._heads.values())

    def of_patient(self, patient_id: str) -> list[Report]:
        """The reports of a patient, by id."""
        return list(self.iterate(each.report_id for each in self.heads() if each.patient_id == patient_id))

    def of_slide(self, slide_id: str, patient_id: str) -> list[Report]:
        """The reports of a slide: those that name it, and those of its patient that name no slide."""
        wanted = slide_id.casefold()
        return list(
            self.iterate(
                each.report_id
                for each in self.heads()
                if wanted in map(str.casefold, each.slide_ids)
                or (not each.slide_ids and each.patient_id == patient_id)
            )
        )

    # Writing

    def put(self, report: Report) -> Literal["made", "same", "changed"]:
        """Takes a report; what was there under its id is replaced where anything but its source differs.

        Ids of denied slides are left out where a living slide is named besides. Raises SlideDeletedError for a report
        that the deny-list keeps out, UsageError through a snapshot.
        """
        for _ in range(_ATTEMPTS):
            allowed = self._allowed(report)
            if allowed is None:
                raise SlideDeletedError(
                    "the report is about a slide or a patient that was deleted from this lake",
                    remedy="slidelake allow --slide ID, or --patient ID, lets it come back.",
                    slide=report.report_id,
                )
            numbers = self._generations(report.report_id)
            there = self._whole(report.report_id)
            if there is not None and there.content_hash == allowed.content_hash:
                return "same"
            number = numbers[-1] + 1 if numbers else _first_number(allowed)
            if not self._put(allowed, number):
                continue
            if self._allowed(report) != allowed:
                # Deleted since it was looked for.
                self._store.objects.delete(report_key(report.report_id, number))
                self._store.objects.prune(_folder(report.report_id))
                continue
            return "changed" if numbers else "made"
        raise StoreError(
            f"{_ATTEMPTS} other writers changed the report {report.report_id} meanwhile",
            remedy="Run the same command again.",
        )

    def remove(self, report_id: str) -> None:
        """Removes a report, with its older generations. Raises UnknownNameError. It may be added again."""
        report_id = slug(report_id)
        numbers = self._generations(report_id)
        if not numbers:
            self.get(report_id)
        self._delete(report_id, numbers)

    def forget_denied(self) -> int:
        """Removes the reports that the deny-list names, and those of denied slides; how many went or were rewritten."""
        count = 0
        for report_id in self._suspects():
            numbers = self._generations(report_id)
            report = self._whole(report_id)
            allowed = self._allowed(report) if report is not None else None
            if report is None or allowed == report:
                continue
            count += 1
            if allowed is not None and not self._put(allowed, numbers[-1] + 1):
                continue  # another writer put the next one: it looks at the deny-list itself
            self._delete(report_id, numbers)
        return count

    def denied(self) -> dict[str, str]:
        """What should not be here any more: a report's key → what is wrong with it; changes nothing."""
        found = {}
        for report_id in self._suspects():
            report = self._whole(report_id)
            allowed = self._allowed(report) if report is not None else None
            if report is not None and allowed != report:
                what = "that names a deleted slide" if allowed else "of a deleted slide or patient"
                found[_folder(report_id)] = f"a report {what}"
        return found

    def damaged(self) -> list[str]:
        """The ids of reports that cannot be read: nobody can tell whose they are."""
        return sorted(set(self.ids()) - {each.report_id for each in self.heads()})

    def keep_only(self, report_id: str, number: int) -> None:
        """Removes every generation but one: a copy follows its source, also to a smaller number."""
        self._delete(report_id, [each for each in self._generations(report_id) if each != number])

    def tidy(self) -> int:
        """Removes older generations, which a writer that was killed left; how many."""
        older = {report_id: sorted(numbers)[:-1] for report_id, numbers in self._listed().items()}
        for report_id, numbers in older.items():
            if numbers:
                self._delete(report_id, numbers)
        return sum(map(len, older.values()))

    def deny_of_patient(self, patient_id: str, because: Iterable[str], now: datetime) -> None:
        """Denies the reports of a patient that name no slide: the last of the patient's slides is deleted."""
        because = list(because)
        for head in self.heads():
            if head.patient_id == patient_id and not head.slide_ids:
                self._store.denied.add(
                    uri=denied_name(head.patient_id, head.report_id), because=because, now=now
                )

    def _suspects(self) -> list[str]:
        """The reports whose id, patient or slides the deny-list names."""
        denied = self._store.denied
        if not denied.count():
            return []
        heads = self.heads()
        names = denied.among("uri", {denied_name(each.patient_id, each.report_id) for each in heads})
        patients = denied.among("patient", {each.patient_id for each in heads})
        slides = denied.among("slide", {slide_id for each in heads for slide_id in each.slide_ids})
        return [
            each.report_id
            for each in heads
            if denied_name(each.patient_id, each.report_id) in names
            or each.patient_id in patients
            or not slides.isdisjoint(each.slide_ids)
        ]

    def _allowed(self, report: Report) -> Report | None:
        """The report as the deny-list lets it be; None where it has to stay out."""
        denied = self._store.denied
        if denied.find(patient_id=report.patient_id, uri=denied_name(report.patient_id, report.report_id)):
            return None
        gone = denied.among("slide", report.slide_ids) if report.slide_ids else set()
        if not gone:
            return report
        left = tuple(each for each in report.slide_ids if each not in gone)
        cover = _Cover({word for each in gone for word in words_of(slide_id=each)})
        if cover.holds(report.report_id) or not any(self._store.state(each).keys for each in left):
            return None
        return replace(
            report,
            slide_ids=left,
            title=cover(report.title),
            text=cover(report.text),
            source=replace(report.source, uri=cover(report.source.uri)),
            metadata={
                cover(name): cover(value) if isinstance(value, str) else value
                for name, value in report.metadata.items()
            },
        )

    def _put(self, report: Report, number: int) -> bool:
        """Writes one generation and removes those before it; False where another writer has it or a later one."""
        body = {
            "format": FORMAT,
            **report.to_dict(),
            "added": report.added or datetime.now(UTC).isoformat(timespec="seconds"),
            "token": secrets.token_hex(8),
        }
        data = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        if not self._store.objects.put_if_absent(report_key(report.report_id, number), data):
            return False
        there = self._generations(report.report_id)
        if there and there[-1] > number:
            self._store.objects.delete(report_key(report.report_id, number))
            return False
        self._delete(report.report_id, [each for each in there if each < number])
        return True

    def _delete(self, report_id: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._store.objects.delete(report_key(report_id, number))
        # Also the folder of a report that is gone: its name tells whose it was.
        self._store.objects.prune(_folder(report_id))

    def _head(self, report_id: str) -> ReportHead | None:
        found = self._read(report_id, damaged_too=False)
        return found[0].head(found[1]) if found else None

    def _latest(self, report_id: str) -> Report | None:
        found = self._read(report_id)
        return found[0] if found else None

    def _whole(self, report_id: str) -> Report | None:
        """The report; None also for one that is damaged: what is put next stands in its place."""
        found = self._read(report_id, damaged_too=False)
        return found[0] if found else None

    def _read(self, report_id: str, *, damaged_too: bool = True) -> tuple[Report, int] | None:
        """The latest generation and its number; None where there is none. One that is damaged raises, or is logged."""
        for left in reversed(range(_ATTEMPTS)):
            numbers = self._generations(report_id)
            if not numbers:
                return None
            try:
                data = self._store.objects.read(report_key(report_id, numbers[-1]))
            except FileNotFoundError:
                if not left:
                    raise
                continue  # the next generation was put since, or the report removed
            try:
                return parse_report(report_id, data, self._url(report_id, numbers[-1])), numbers[-1]
            except DamagedStoreError as error:
                if damaged_too:
                    raise
                log.warning("a report cannot be read", extra={"report_id": report_id, "why": error.problem})
                return None
        return None

    def _url(self, report_id: str, number: int) -> str:
        return self._store.objects.url_of(report_key(report_id, number))

    def _generations(self, report_id: str) -> list[int]:
        keys = self._store.objects.list(_folder(report_id))
        return sorted(int(found[2]) for found in map(_KEY.fullmatch, keys) if found)

    def _listed(self) -> dict[str, list[int]]:
        there: dict[str, list[int]] = {}
        for found in map(_KEY.fullmatch, self._store.objects.list(REPORTS)):
            if found and slug(found[1]) == found[1]:
                there.setdefault(found[1], []).append(int(found[2]))
        return dict(sorted(there.items()))


class _Cover:
    """Covers words in a text, character by character: sections and quotes keep their places."""

    def __init__(self, words: Iterable[str]) -> None:
        either = "|".join(map(re.escape, sorted(words)))
        self._pattern = re.compile(rf"(?<![a-z0-9])(?:{either})(?![a-z0-9])", re.IGNORECASE)

    def __call__(self, text: str) -> str:
        return self._pattern.sub(lambda found: "█" * len(found[0]), text)

    def holds(self, text: str) -> bool:
        return self._pattern.search(text) is not None


def parse_report(report_id: str, data: bytes, where: str) -> Report:
    """The report that an object holds; raises DamagedStoreError, which names `where` it lies."""
    try:
        body = json.loads(data)
        report = Report.from_dict(body)
        if body["format"] > FORMAT:
            raise ValueError(f"format {body['format']}, of a newer slidelake")
        if report.report_id != report_id:
            raise ValueError(f"it holds the report {report.report_id}")
    except (ValueError, LookupError, TypeError, AttributeError, UsageError) as exc:
        raise DamagedStoreError(
            f"the report {where} cannot be read ({type(exc).__name__}: {exc})",
            remedy=f"Remove it with slidelake reports remove {report_id} and add it again.",
        ) from exc
    return report


def _first_number(report: Report) -> int:
    # Of 2³⁰: an index keeps it as int32, and each change adds one.
    return 1 + int(report.content_hash[:8], 16) % 2**30


def _folder(report_id: str) -> str:
    require_slug(report_id, "report_id")
    return f"{REPORTS}/{hashlib.sha256(report_id.encode()).hexdigest()[:2]}/{report_id}"


def report_key(report_id: str, number: int) -> str:
    """Where one generation of a report lies."""
    return f"{_folder(report_id)}/{number:010d}.json"
