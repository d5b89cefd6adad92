"""A volume and its annotations, placed, measured and checked: a case."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_tcia.app.search import as_issue
from napari_tcia.core.image import Check, Choices, LabelSet, NodeRow, PointSet, Volume
from napari_tcia.core.model import Issue, Provenance
from napari_tcia.core.task import CancelToken, Progress, Report
from napari_tcia.errors import NothingFound, VerificationError
from napari_tcia.nodes.candidates import read_candidates
from napari_tcia.nodes.known_issues import annotation_issues, known_issues
from napari_tcia.nodes.labels import mirrored, read_labels
from napari_tcia.nodes.markups import is_markups, read_markups
from napari_tcia.nodes.match import node_rows
from napari_tcia.nodes.points import read_points
from napari_tcia.nodes.published import as_published
from napari_tcia.nodes.verify import verify
from napari_tcia.volume.headers import SeriesHeaders


@dataclass(frozen=True, eq=False)
class Case:
    """One volume and what is known on its grid.

    Attributes
    ----------
    name : str
        Patient ID, or the folder's name where the origin is unknown (a
        stranger's patient ID is not for layer names).
    nodes : tuple of NodeRow
    checks : tuple of Check
        How well annotations and image agree, one by one and together.
    issues : tuple of Issue
        Known issues of the case, and annotations that could not be read.
    further : tuple of PointSet
        Points of other files beside it (a colleague's, a model's), by their names.
    blind : bool
        That what is known of its nodes was taken away on purpose.
    choices : Choices
        What it was read with.
    place : Path or None
        Folder that it was found in, with its annotations.
    """

    name: str
    volume: Volume
    labels: tuple[LabelSet, ...] = ()
    points: PointSet | None = None
    candidates: tuple[PointSet, ...] = ()
    nodes: tuple[NodeRow, ...] = ()
    checks: tuple[Check, ...] = ()
    issues: tuple[Issue, ...] = ()
    choices: Choices = Choices()  # noqa: RUF009 - frozen
    place: Path | None = None
    further: tuple[PointSet, ...] = ()
    blind: bool = False

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """Of every part, for citations."""
        parts = [self.volume.provenance]
        parts += [labels.provenance for labels in self.labels]
        parts += [self.points.provenance] if self.points else []
        parts += [points.provenance for points in (*self.candidates, *self.further)]
        return tuple(dict.fromkeys(parts))


def blinded(case: Case) -> Case:
    """The case without anything that would tell a reader where its nodes are.

    No labels, points, candidates, rows, checks and known issues; what opens begins
    in the middle.
    """
    return replace(
        case,
        labels=(),
        points=None,
        candidates=(),
        further=(),
        nodes=(),
        checks=(),
        issues=(),
        blind=True,
    )


def first_index(case: Case) -> tuple[float, float, float]:
    """Where to look first: the largest node, else the middle. (k, j, i)."""

    def size(row: NodeRow) -> float:
        known = (row.short_axis_mm, row.published_size_mm, row.long_axis_mm)
        return next((float(v) for v in known if v is not None), 0.0)

    if case.nodes:
        largest = max(case.nodes, key=size)
        return (float(largest.k), largest.index[1], largest.index[2])
    k, j, i = case.volume.shape
    return ((k - 1) // 2, (j - 1) / 2, (i - 1) / 2)


def assemble(
    volume: Volume,
    annotations: Iterable[tuple[SeriesHeaders, Provenance]],
    masks: Iterable[Path],
    point_sources: Sequence[Path],
    *,
    name: str,
    choices: Choices | None = None,
    report: Report,
    token: CancelToken,
) -> Case:
    """Place annotations on `volume`, measure the nodes, and check it all.

    Parameters
    ----------
    volume : Volume
        One whose geometry failed is only shown.
    annotations : iterable of (SeriesHeaders, Provenance)
        SEG series that belong to it.
    masks : iterable of Path
        NIfTI masks and NRRD labelmaps; zips of the masks of a collection.
    point_sources : sequence of Path
        Folders or zips with published positions, and markups files. Without any
        published position, the first markups stand for the points of the case.
    name : str
        What the case is called where its origin is unknown.
    choices : Choices, optional
        What the volume was read with.
    """
    choices = choices or Choices()
    if volume.passport.verdict == "fail":
        # Shown, and refused for annotation, measuring and export.
        return Case(
            name=_name(volume, name),
            volume=volume,
            issues=_failed(volume),
            choices=choices,
        )
    issues: list[Issue] = list(known_issues(volume.provenance.patient_id))
    labels: list[LabelSet] = []
    report(Progress("Placing annotations"))
    sources = [(f, origin) for one, origin in annotations for f in one.files]
    for source, origin in [*sources, *((mask, None) for mask in masks)]:
        token.raise_if_cancelled()
        try:
            labels += read_labels(source, volume, provenance=origin)
        except NothingFound:
            pass  # the zip of the collection holds no mask of this patient
        except VerificationError as error:
            issues.append(as_issue(error))
    if choices.labels != "stored":
        labels = [
            one if one.source == "seg" else mirrored(one, choices.labels)
            for one in labels
        ]
    issues += annotation_issues(one.name for one in labels)
    points: PointSet | None = None
    further: list[PointSet] = []
    candidates: tuple[PointSet, ...] = ()
    for source in point_sources:
        try:
            if is_markups(source):
                further.append(read_markups(source, volume))
                continue
            points = points or read_points(source, volume, by=choices.points)
        except NothingFound:
            pass  # the zip of the collection holds no rows for this patient
        except VerificationError as error:
            issues.append(as_issue(error))
        # Candidates are an addition of the same sources; most have none.
        with contextlib.suppress(NothingFound, VerificationError):
            candidates = candidates or read_candidates(source, volume)
    if points is None and further:
        points = further.pop(0)
    report(Progress("Measuring nodes"))
    token.raise_if_cancelled()
    return Case(
        name=_name(volume, name),
        volume=volume,
        labels=tuple(labels),
        points=points,
        candidates=candidates,
        nodes=node_rows(volume, labels, points),
        checks=(
            *as_published(volume),
            *(check for one in labels for check in one.checks),
            *(points.checks if points else ()),
            *(check for one in further for check in one.checks),
            *verify(volume, labels, points),
        ),
        issues=tuple(issues),
        choices=choices,
        further=tuple(further),
    )


def _name(volume: Volume, fallback: str) -> str:
    if volume.provenance.origin == "unknown":
        return fallback
    return volume.provenance.patient_id or fallback


def _failed(volume: Volume) -> tuple[Issue, ...]:
    return tuple(
        Issue("error", check.code, check.message, {"files": list(check.files)})
        for check in volume.passport.checks
        if check.verdict == "fail"
    )
