"""What a search found, as rows to be shown: an image with its annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_tcia.app.search import ANNOTATION_MODALITIES
from napari_tcia.core.model import Issue, Series


@dataclass(frozen=True, slots=True)
class CaseRow:
    """An image series with the annotation series of its study, as one row."""

    series: Series
    annotations: tuple[Series, ...] = ()

    @property
    def all(self) -> tuple[Series, ...]:
        """Everything that opening the row opens."""
        return (self.series, *self.annotations)

    @property
    def bytes(self) -> int:
        """Declared size; what is not declared counts as nothing."""
        return sum(s.bytes or 0 for s in self.all)

    @property
    def has_nodes(self) -> bool:
        """Whether annotations are known to exist."""
        return bool(self.annotations or self.series.has_labels)


@dataclass(frozen=True, slots=True)
class Results:
    """Answer to a search.

    Attributes
    ----------
    text : str
        What was looked for.
    rows : tuple of CaseRow
    issues : tuple of Issue
    accepted : frozenset of str
        Collections whose terms stand accepted.
    stored : frozenset of str
        Series that are on disk, verified.
    hint : str
        What to try when there are no rows.
    folders : mapping of str to Path
        Series that lie in a folder of the user's own, by UID; opening one
        reads from there.
    largest_nodes : mapping of str to float
        Short axis in mm of the largest node of a study, by StudyInstanceUID, as far
        as its segmentations are on disk.
    age : str
        How old the rows are where the archive did not answer: ``"as of
        21 Nov 2026, a day ago"``. Empty for today's answer.
    """

    text: str = ""
    rows: tuple[CaseRow, ...] = ()
    issues: tuple[Issue, ...] = ()
    accepted: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()
    hint: str = ""
    folders: Mapping[str, Path] = field(default_factory=dict)
    largest_nodes: Mapping[str, float] = field(default_factory=dict)
    age: str = ""


def case_rows(series: Iterable[Series]) -> tuple[CaseRow, ...]:
    """Join image series with the annotations of the same study.

    Annotations without an image beside them keep a row of their own.
    """
    series = tuple(series)
    notes: dict[str, list[Series]] = defaultdict(list)
    images: list[Series] = []
    for one in series:
        if one.modality in ANNOTATION_MODALITIES:
            notes[one.study_uid].append(one)
        else:
            images.append(one)
    with_images = {s.study_uid for s in images if s.study_uid}
    rows = [
        CaseRow(image, tuple(notes.get(image.study_uid, ()) if image.study_uid else ()))
        for image in images
    ]
    rows += [
        CaseRow(note)
        for study, among in notes.items()
        if study not in with_images
        for note in among
    ]
    rows.sort(key=lambda row: (row.series.collection.casefold(), row.series.patient_id))
    return tuple(rows)
