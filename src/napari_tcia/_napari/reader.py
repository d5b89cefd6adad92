"""Reads DICOM, what was saved from a layer, and what lies on a CT that is open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PathOrPaths = str | Sequence[str]
_LOOKED_AT = 200
"""Files of a folder that are looked at before it is called no DICOM folder."""


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[Any]] | None:
    """Reader for `path`, None when it is none of our files.

    DICOM, a file that we saved, or labels and points for an open CT of ours. Looks
    at a few bytes only.
    """
    first = Path(path if isinstance(path, str) else path[0])
    name = first.name.lower()
    if name.endswith((".seg.nrrd", ".mrk.json")):
        return read_onto
    if name.endswith((".nii", ".nii.gz", ".csv", ".nrrd")):
        from napari_tcia.app.saved import is_saved

        if not name.endswith(".nrrd") and is_saved(first):
            return read_saved
        onto = not name.endswith(".csv") and first.is_file() and _has_image()
        return read_onto if onto else None
    if first.suffix.lower() == ".zip":
        from napari_tcia.core.zips import holds_dicom

        return read if holds_dicom(first) else None
    if first.is_file() and _is_seg_of_open_image(first):
        return read_onto
    return read if any(_is_dicom(file) for file in _some_files(first)) else None


def read(path: PathOrPaths) -> list[Any]:
    """Layer data of the cases at `path`.

    In a running window the reading happens beside it: the answer is napari's
    sentinel for "taken care of", and the layers come when they are ready. In
    a script they are returned.

    Raises
    ------
    TciaError
        In a script; a window shows its sentence instead.
    """
    import napari
    from napari.utils.notifications import show_warning

    from napari_tcia._napari.layers import layer_data, reference_for
    from napari_tcia._napari.session import services_of, session_for
    from napari_tcia._napari.window import in_event_loop
    from napari_tcia.app import state
    from napari_tcia.app.case import open_case

    target = Path(path if isinstance(path, str) else os.path.commonpath(path))
    viewer = napari.current_viewer()
    if viewer is not None and in_event_loop():
        session_for(viewer).open(target)
        return [(None,)]
    cases = open_case(services_of(viewer), target)
    placed: list[Any] = list(viewer.layers) if viewer is not None else []
    layers: list[Any] = []
    words = list(state.doubts(cases))
    for case in cases:
        reference, issues = reference_for(placed, case.volume)
        words += [issue.message for issue in issues]
        data = layer_data(case, reference)
        placed.append(SimpleNamespace(**data[0][1]))
        layers += data
    if words:
        show_warning("\n".join(words))
    return layers


def read_onto(path: PathOrPaths) -> list[Any]:
    """Layer data of labels or points on the voxels of the CT that is open.

    In a running window the reading happens beside it, as in `read`.

    Raises
    ------
    NothingFound
        No CT of ours is open.
    TciaError
        In a script; a window shows its sentence instead.
    """
    import napari
    from napari.utils.notifications import show_warning

    from napari_tcia._napari import onto
    from napari_tcia._napari.window import in_event_loop
    from napari_tcia.app import state

    viewer = napari.current_viewer()
    paths = [Path(one) for one in ([path] if isinstance(path, str) else path)]
    if viewer is not None and in_event_loop():
        for one in paths:
            onto.lay(viewer, one)
        return [(None,)]
    layers: list[Any] = []
    words: list[str] = []
    for one in paths:
        data, case = onto.read_at_once(viewer, one)
        layers += data
        words += state.doubts([case])
    if words:
        show_warning("\n".join(dict.fromkeys(words)))
    return layers


def _has_image() -> bool:
    import napari

    from napari_tcia._napari.onto import open_image

    return open_image(napari.current_viewer()) is not None


def _is_seg_of_open_image(file: Path) -> bool:
    """Whether `file` is a SEG in the frame of reference of the CT that is open."""
    if not _is_dicom(file):
        return False
    import napari

    from napari_tcia._napari.layers import metadata_of
    from napari_tcia._napari.onto import open_image
    from napari_tcia.app.onto import frame_of_seg

    image = open_image(napari.current_viewer())
    if image is None:
        return False
    frame = (metadata_of(image) or {}).get("frame_of_reference_uid")
    return bool(frame) and frame_of_seg(file) == frame


def read_saved(path: PathOrPaths) -> list[Any]:
    """Layer data of files that were saved by us, with the credit they carry.

    Raises
    ------
    TciaError
        A file is damaged, or was moved in the patient.
    """
    import napari
    from napari.utils.notifications import show_warning

    from napari_tcia._napari.layers import reference_for, saved_data
    from napari_tcia._napari.session import services_of
    from napari_tcia.app.saved import open_saved

    viewer = napari.current_viewer()
    placed: list[Any] = list(viewer.layers) if viewer is not None else []
    layers: list[Any] = []
    words: list[str] = []
    for one in [path] if isinstance(path, str) else path:
        saved = open_saved(services_of(viewer), Path(one))
        reference, issues = reference_for(placed, saved.volume)
        words += [issue.message for issue in issues]
        data = saved_data(saved, reference)
        placed.append(SimpleNamespace(**data[0][1]))
        layers += data
    if words:
        show_warning("\n".join(words))
    return layers


def _some_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    count = 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            count += 1
            if count > _LOOKED_AT:
                return
            yield Path(folder) / name


def _is_dicom(file: Path) -> bool:
    """Whether `file` has the Part 10 preamble (DICOM PS3.10 section 7.1)."""
    try:
        with file.open("rb") as stream:
            stream.seek(128)
            return stream.read(4) == b"DICM"
    except OSError:
        return False
