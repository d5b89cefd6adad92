"""Which cases have a node of some size, as far as their segmentations are here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_tcia.app.folder import stored_facts
from napari_tcia.app.rows import Results
from napari_tcia.app.services import Services
from napari_tcia.core.files import write_json
from napari_tcia.core.model import Issue, Listing, Provenance, Series, StoredSeries
from napari_tcia.core.task import CancelToken, Report, silent
from napari_tcia.errors import AccessError, VerificationError
from napari_tcia.nodes.alone import read_alone
from napari_tcia.nodes.match import node_rows

_SCHEMA = 1


def with_node_at_least(
    services: Services,
    rows: Sequence[Series],
    short_axis_mm: float,
    *,
    token: CancelToken | None = None,
) -> Listing[Series]:
    """Series of studies that have a node with such a short axis.

    Judged by the segmentations that are stored, and whose terms stand accepted: of
    the other studies nothing is known, and an issue counts them. Nothing is fetched.

    Parameters
    ----------
    rows : sequence of Series
        Images and segmentations as a search lists them.
    short_axis_mm : float
        Least short axis in mm.
    """
    largest, unknown = _measured(services, rows, token)
    found = {study for study, size in largest.items() if size >= short_axis_mm}
    left = unknown - found
    issues: tuple[Issue, ...] = ()
    if left:
        issues = (
            Issue(
                "info",
                "nodes_unknown",
                f"Of {len(left)} cases the segmentation is not here, so their nodes "
                "are not known: napari-tcia nodes PATIENT --labels-only fetches one.",
                {"studies": len(left)},
            ),
        )
    return Listing(tuple(one for one in rows if one.study_uid in found), issues)


def with_largest_nodes(
    services: Services,
    results: Results,
    *,
    report: Report = silent,
    token: CancelToken | None = None,
) -> Results:
    """`results` with the largest node of each study of which a segmentation is stored.

    For a task beside the window: what was not measured before is measured now.
    A study with a segmentation that is not here is left out: it may hold a larger one.
    """
    rows = [one for row in results.rows for one in row.all]
    if not results.stored.intersection(r.series_uid for r in rows):
        return replace(results, largest_nodes={})
    largest, unknown = _measured(services, rows, token)
    known = {study: mm for study, mm in largest.items() if study not in unknown}
    return replace(results, largest_nodes=known)


def _measured(
    services: Services, rows: Sequence[Series], token: CancelToken | None
) -> tuple[dict[str, float], set[str]]:
    """Largest short axis (mm) by study, and studies with a segmentation unseen."""
    token = token or CancelToken()
    host = services.settings.archive_host
    place = services.settings.home / "node-sizes.json"
    known = _known(place)
    before = len(known)
    largest: dict[str, float] = {}
    unknown: set[str] = set()
    for one in rows:
        token.raise_if_cancelled()
        if one.modality != "SEG":
            continue
        kept = services.store.find(host, one.series_uid)
        sizes = None
        if kept is not None:
            with contextlib.suppress(AccessError, VerificationError):
                facts = stored_facts(services, kept)  # asks the gate
                if kept.sha256 not in known:
                    known[kept.sha256] = _short_axes(kept, facts)
                sizes = known[kept.sha256]
        if sizes is None:
            unknown.add(one.study_uid)
        else:
            largest[one.study_uid] = max([largest.get(one.study_uid, 0.0), *sizes])
    if len(known) > before:
        write_json(place, {"schema": _SCHEMA, "short_axes_mm": known})
    return largest, unknown


def _short_axes(kept: StoredSeries, facts: Provenance) -> list[float]:
    found: list[float] = []
    for file in sorted(kept.path.glob("*.dcm")):
        alone = read_alone(file, provenance=facts)
        rows = node_rows(alone.grid, alone.labels)
        found += [row.short_axis_mm for row in rows if row.short_axis_mm is not None]
    return found


def _known(place: Path) -> dict[str, list[float]]:
    try:
        content = json.loads(place.read_bytes())
        if content["schema"] != _SCHEMA:
            return {}
        return {
            str(name): [float(v) for v in sizes]
            for name, sizes in content["short_axes_mm"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # it is measured again
