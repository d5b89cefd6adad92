"""The annotations of a scan under its other identity, laid onto the open one."""

from __future__ import annotations

from napari_tcia.app.assemble import Case
from napari_tcia.app.nodes_only import nodes_only
from napari_tcia.app.services import Services
from napari_tcia.core.image import Volume
from napari_tcia.core.model import Issue
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.errors import NothingFound
from napari_tcia.nodes.alone import onto
from napari_tcia.nodes.known_issues import companion
from napari_tcia.nodes.match import node_rows
from napari_tcia.nodes.verify import verify


def companion_nodes(
    services: Services,
    volume: Volume,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Case:
    """Fetch what was published for the same scan under its other patient ID.

    Only the segmentation is fetched, through the gate. Twenty-five scans of CT Lymph
    Nodes were published twice, once for each region.

    Parameters
    ----------
    volume : Volume
        Of a patient of CT Lymph Nodes.

    Returns
    -------
    Case
        `volume` with the labels of the other identity, under that name.

    Raises
    ------
    NothingFound
        The scan has no other identity, or the archive lists no segmentation of it.
    GeometryMismatch
        The two do not coincide voxel by voxel.
    AccessError, ArchiveError, VerificationError
        As `napari_tcia.app.nodes_only.nodes_only`.
    """
    patient = volume.provenance.patient_id
    other = companion(patient)
    if other is None:
        raise NothingFound(
            f"{patient or 'This scan'} was published under no other patient ID.",
            "25 scans of CT Lymph Nodes were: napari-tcia nodes PATIENT names them.",
        )
    found = nodes_only(services, other, report=report, token=token)
    labels = tuple(one for only in found for one in onto(only.alone, volume, other))
    checks = verify(volume, labels)
    word = Issue(
        "info",
        "companion_scan",
        f"Drawn on the same scan as it was published as {other}, and placed by its "
        "millimetres; UIDs of images and frame of reference are others.",
        {"companion": other},
    )
    doubts = tuple(
        Issue("warn", check.code, f"{other}: {check.message}", dict(check.numbers))
        for check in checks
        if check.verdict != "pass"
    )
    return Case(
        name=patient,
        volume=volume,
        labels=labels,
        nodes=node_rows(volume, labels),
        checks=checks,
        issues=(word, *doubts),
    )
