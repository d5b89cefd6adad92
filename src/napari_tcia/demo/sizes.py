"""The length of a segmentation before it is written.

A listing names the bytes of every series, and a collection has hundreds of
them. The SEG of a case is as long as one of two voxels, and what its other source
images, segments and frames add: fixed lengths, measured once on small SEGs, but
for their pixels and a few texts.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_tcia.demo.dicom import position, seg_bytes
from napari_tcia.demo.identity import Identity
from napari_tcia.demo.truth import Node, Scan, box_of, make_labels


def seg_size(identity: Identity, scan: Scan, nodes: tuple[Node, ...]) -> int:
    """Length of what `napari_tcia.demo.dicom.seg_bytes` writes for a case, bytes."""
    labels = make_labels(scan, nodes)
    marked = [node.label for node in nodes if node.label]
    frames: list[int] = []
    for node in nodes:
        if node.label:
            box = box_of(scan, node)
            held = (labels[box] == node.label).any(axis=(1, 2))
            frames += (np.flatnonzero(held) + box[0].start).tolist()
    if len(marked) < 2:  # says that its frames are a volume where they are one
        return len(seg_bytes(identity, scan, labels, nodes))
    source, segment, frame = _parts()
    alike = replace(identity, patient_id="x" * len(identity.patient_id))
    flat = Scan(seed=0, matrix=scan.matrix, slices=1, fov=scan.fov, step=scan.step)
    return (
        _rest(alike, flat)
        + source * len(set(frames))
        + segment * len(marked)
        + frame * len(frames)
        + _texts(identity, scan, marked, frames)
        + _pixels(scan.matrix, len(frames))
    )


def _texts(identity: Identity, scan: Scan, marked: list[int], frames: list[int]) -> int:
    """Texts that differ between segments and between frames, each of even length."""
    texts = [str(len(frames)), *("\\".join(position(scan, k)) for k in frames)]
    for label in marked:
        texts += [f"Lymph node {label}", f"{identity.patient_id} node {label}"]
    return sum(len(text) + len(text) % 2 for text in texts)


def _pixels(matrix: int, frames: int) -> int:
    """One bit for each, packed over all frames, of even length (PS3.5 8.1.1)."""
    packed = -(-frames * matrix**2 // 8)
    return packed + packed % 2


@lru_cache(maxsize=64)
def _rest(identity: Identity, scan: Scan) -> int:
    """Bytes of a SEG besides its segments, sources and frames."""
    labels = np.zeros(scan.shape, dtype=np.uint8)
    labels[0, 0, :2] = 1, 2
    whole = len(seg_bytes(identity, scan, labels, (_node(1), _node(2))))
    source, segment, frame = _parts()
    known = source + 2 * segment + 2 * frame + _pixels(scan.matrix, 2)
    return whole - known - _texts(identity, scan, [1, 2], [0, 0])


@lru_cache(maxsize=1)
def _parts() -> tuple[int, int, int]:
    """Bytes that a source image, a segment and a frame add, but for their texts."""
    two = _measured([[1, 2]])
    source = _measured([[1, 0], [2, 0]]) - two
    frame = _measured([[1, 2], [1, 0]]) - two - source
    segment = _measured([[1, 2, 3]]) - two - frame
    return source, segment, frame


def _measured(voxels: list[list[int]]) -> int:
    """Length, without texts and pixels, of a SEG with the first voxels of slices."""
    scan = Scan(seed=0, matrix=8, slices=len(voxels), fov=8.0)
    labels: NDArray[np.uint8] = np.zeros(scan.shape, dtype=np.uint8)
    labels[:, 0, : len(voxels[0])] = voxels
    marked = sorted({label for row in voxels for label in row if label})
    frames = [k for k, row in enumerate(voxels) for label in row if label]
    identity = Identity("x", "x", "x", "CHEST", seg_description="x")
    whole = len(seg_bytes(identity, scan, labels, tuple(map(_node, marked))))
    return whole - _texts(identity, scan, marked, frames) - _pixels(8, len(frames))


def _node(label: int) -> Node:
    across = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    return Node(label, "", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), across, 0.0)
