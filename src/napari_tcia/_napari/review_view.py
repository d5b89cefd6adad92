"""What the review tab shows, put into words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tcia._napari import layers as case_layers
from napari_tcia._qt.review_panel import ReviewView
from napari_tcia.app.drafting import DraftInfo
from napari_tcia.core.image import NodeRow
from napari_tcia.review.autosave import Autosave
from napari_tcia.review.state import Judgement

if TYPE_CHECKING:
    from napari_tcia._napari.reviewing import Review


def view_of(review: Review) -> ReviewView:
    """Everything that is shown of a review, as it is now."""
    image = review.session.image()
    ours = (case_layers.metadata_of(image) or {}) if image is not None else {}
    rows, row, state = review.rows(), review.row(), review.state
    blind = bool(ours.get("blind"))
    saving = review.saving
    decided = sum(bool(state.judgement(review.uid(one)).decision) for one in rows)
    position = ""
    if row is not None and not blind:
        position = f"node {[r.id for r in rows].index(row.id) + 1} of {len(rows)}"
    return ReviewView(
        case=str(ours.get("case", "")) if image is not None else "",
        place=review.place,
        node=_words(row) if row is not None else "",
        position=position,
        judgement=state.judgement(review.uid(row)) if row is not None else Judgement(),
        decided=decided,
        total=len(rows),
        findings=state.findings,
        notes=state.notes,
        exit=state.exit,
        started=saving is not None,
        drawing=review.annotation is not None,
        read_only=saving is not None and saving.draft.read_only,
        offer=review.offer if saving is None and image is not None else "",
        saved=_saved(saving),
        problem=review.problem,
        seconds=state.seconds + review.spent,
        queued=bool(review.place),
        blind=blind or review.session.blind,
    )


def _words(row: NodeRow) -> str:
    parts = [f"Node {row.id}"]
    if row.short_axis_mm is not None and row.long_axis_mm is not None:
        parts.append(f"{row.short_axis_mm:.1f} \u00d7 {row.long_axis_mm:.1f} mm")
    if row.size_class:
        parts.append(row.size_class.replace(">=", "\u2265"))
    if row.k >= 0:
        parts.append(f"image {row.k + 1}")
    return "   ".join(parts)


def _saved(saving: Autosave | None) -> str:
    if saving is None or saving.draft.read_only:
        return ""
    if saving.error is not None or saving.waiting > 3:
        return f"{saving.waiting} steps are not saved yet"
    seconds = int(saving.seconds)
    if seconds < 60:
        return f"Saved {seconds} s ago" if seconds else "Saved just now"
    return f"Saved {seconds // 60} min ago"


def about(info: DraftInfo) -> str:
    """Say what of a reader lies here from before."""
    parts = [f"Your annotation of {info.saved[:16].replace('T', ' ')} UTC is here"]
    if info.decided:
        parts.append(f"{info.decided} decided")
    if info.edits:
        parts.append(f"{info.edits} edits")
    if info.unfinished:
        parts.append("its last session ended early; nothing confirmed is lost")
    if info.problem:
        return str(info.problem)
    return ", ".join(parts) + "."
