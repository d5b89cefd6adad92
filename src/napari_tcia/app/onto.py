"""A file of labels or points, opened onto a volume that is open already."""

from __future__ import annotations

from pathlib import Path

from napari_tcia.app.assemble import Case
from napari_tcia.app.folder import admit
from napari_tcia.app.services import Services
from napari_tcia.core.image import LabelSet, PointSet, Volume
from napari_tcia.core.model import Issue
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.nodes.labels import read_labels
from napari_tcia.nodes.markups import is_markups
from napari_tcia.nodes.points import read_points
from napari_tcia.volume.headers import survey


def read_onto(
    services: Services,
    path: Path,
    volume: Volume,
    name: str,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Case:
    """Read labels (SEG, NIfTI, NRRD) or points (markups) onto `volume`.

    Parameters
    ----------
    volume : Volume
        As it is shown; its `sop_uids` may be unknown.
    name : str
        Of the case that it is the image of.

    Returns
    -------
    Case
        With nothing but the volume and what the file holds; each doubt about it
        is an issue that names the file.

    Raises
    ------
    TermsNotAccepted
        It lies below HOME, among what is kept there.
    BrokenGeometry, GeometryMismatch, UnreadableAnnotation, CorruptData, NothingFound
        As the readers say.
    """
    admit(services, path)
    labels: tuple[LabelSet, ...] = ()
    points: PointSet | None = None
    if is_markups(path):
        points = read_points(path, volume)
        checks = points.checks
    else:
        labels = tuple(read_labels(path, volume))
        checks = labels[0].checks
    issues = tuple(
        Issue(
            "error" if check.verdict == "fail" else "warn",
            check.code,
            f"{path.name}: {check.message}",
            dict(check.numbers),
        )
        for check in checks
        if check.verdict != "pass"
    )
    return Case(name, volume, labels, points, checks=checks, issues=issues)


def frame_of_seg(path: Path) -> str | None:
    """FrameOfReferenceUID of a DICOM SEG, None of any other file."""
    found = survey([path])
    seg = len(found) == 1 and found[0].modality == "SEG"
    return found[0].frame_of_reference_uid if seg else None
