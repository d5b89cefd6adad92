"""A picture with its caption drawn under it, and its references beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from napari_tcia.cite import formats
from napari_tcia.core.colours import colour_of
from napari_tcia.core.files import write_atomic
from napari_tcia.core.geometry import axis_letters, spacing_of
from napari_tcia.core.image import LabelSet, Volume
from napari_tcia.core.model import Citation, Provenance
from napari_tcia.errors import UsageError
from napari_tcia.export.files import (
    ascii_text,
    is_file_name,
    public_provenance,
    require_equal,
    staged,
)
from napari_tcia.volume import require_sound

SUFFIXES = (".png", ".tif", ".tiff")
Picture = NDArray[np.uint8]
_SMALLEST = 640
"""Width in pixels below which a caption cannot be read; the band is then wider."""
_LONGER_SIDE = 1024
"""Pixels that the longer side of a rendered slice has at least."""
_FONTS = ("DejaVuSans.ttf", "Arial.ttf")
_PAPER, _INK, _ALARM = "#ffffff", "#1a1a1a", "#a00000"
_DESCRIPTION, _SOFTWARE, _COPYRIGHT = 270, 305, 33432
"""TIFF tags (TIFF 6.0, section 8)."""


@dataclass(frozen=True, slots=True)
class Caption:
    """What a figure says of itself.

    Attributes
    ----------
    title : str
    shown : tuple of str
        Sentences on what is to be seen: series, slice, window, outlines.
    credit : tuple of str
        One sentence a dataset, with its DOI and licence.
    synthetic : bool
        Some of it is made by a phantom generator.
    """

    title: str
    shown: tuple[str, ...]
    credit: tuple[str, ...]
    synthetic: bool

    @property
    def text(self) -> str:
        """The whole caption, a sentence a line."""
        mark = (SYNTHETIC,) if self.synthetic else ()
        return "\n".join((self.title, *mark, *self.shown, *self.credit))


SYNTHETIC = "SYNTHETIC: made by a phantom generator, of no patient."


def write(
    out: Path | str,
    picture: NDArray[Any],
    title: str,
    shown: Sequence[str],
    provenances: Sequence[Provenance],
    citations: Sequence[Citation],
) -> list[Path]:
    """Write a picture with a caption band, its caption as text, and a ``.bib``.

    Parameters
    ----------
    out : path
        A ``.png``, ``.tif`` or ``.tiff`` name.
    picture : (rows, columns, 3 or 4) uint8
        RGB, or RGBA as a canvas gives it; it keeps every pixel.
    title : str
    shown : sequence of str
        What is to be seen, one sentence each.
    provenances : sequence of Provenance
        Of everything in the picture; embedded as JSON.
    citations : sequence of Citation
        Of the same; the datasets go into the band, all of them into ``.bib``
        and ``.txt``.

    Returns
    -------
    list of Path
        Picture, ``<name>.bib`` and ``<name>.txt``, after all three were read back.

    Raises
    ------
    UsageError
        Another ending, or no picture.
    StorageError, CorruptData
    """
    path = Path(out)
    if not is_file_name(path, SUFFIXES):
        raise UsageError(
            f"{path.name} is no name for a figure.",
            f"End it with one of: {', '.join(SUFFIXES)}.",
        )
    pixels = np.asarray(picture)
    good = pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.size
    if not good or pixels.dtype != np.uint8:
        raise UsageError(
            f"An array of {pixels.shape} {pixels.dtype} is no picture.",
            "Give rows x columns x 3 or 4, uint8.",
        )
    caption = caption_of(title, shown, provenances, citations)
    framed = compose(pixels[..., :3], caption)
    origin = json.dumps([public_provenance(p) for p in dict.fromkeys(provenances)])
    bib = formats.render(tuple(citations), "bibtex") if citations else ""
    bib = bib.rstrip() + "\n" if bib else "% Nothing is known to cite.\n"
    words = "\n".join([caption.text, *references(citations), ""])
    with staged(path, path.suffix.lower()) as temporary:
        _save(temporary, framed, caption, origin)
        _reread(temporary, path, framed, caption, origin)
        # Before the picture has its name, so that it never stands without them.
        beside = [path.with_suffix(".bib"), path.with_suffix(".txt")]
        for file, text in zip(beside, (bib, words), strict=True):
            write_atomic(file, text)
            require_equal(file.read_text(encoding="utf-8") == text, file, "words")
    return [path, *beside]


def caption_of(
    title: str,
    shown: Sequence[str],
    provenances: Sequence[Provenance],
    citations: Sequence[Citation],
) -> Caption:
    """Caption of a figure of `provenances`, credited by `citations`."""
    addresses = {p.licence_name: p.licence_uri for p in provenances if p.licence_uri}
    credit = []
    for one in citations:
        if one.kind in ("dataset", "synthetic"):
            lead = "Data" if one.kind == "dataset" else "Picture of"
            licence = f" Licence: {one.licence}." if one.licence else ""
            doi = one.doi and one.doi.casefold() not in one.text.casefold()
            doi_words = f" doi:{one.doi}." if doi else ""
            credit.append(f"{lead}: {one.text}{doi_words}{licence}")
    if len(addresses) == 1 and any(one.licence for one in citations):
        credit.append(f"Licence text: {next(iter(addresses.values()))}")
    if any(p.origin == "unknown" for p in provenances) or not provenances:
        credit.append("Contains data of unknown origin.")
    return Caption(
        title=title,
        shown=tuple(shown),
        credit=tuple(credit),
        synthetic=any(p.synthetic for p in provenances),
    )


def references(citations: Sequence[Citation]) -> list[str]:
    """Lines of the reference list that goes beside the picture."""
    if not citations:
        return []
    return ["", "References", *(one.text for one in citations)]


def compose(picture: NDArray[Any], caption: Caption) -> Picture:
    """Picture above, caption below; the picture is never scaled.

    Parameters
    ----------
    picture : (rows, columns, 3) uint8
    caption : Caption

    Returns
    -------
    (rows + band, max(columns, 640), 3) uint8
    """
    height, columns = picture.shape[:2]
    width = max(columns, _SMALLEST)
    size = max(15, round(width / 62))
    title, body = _font(round(1.2 * size)), _font(size)
    margin, gap = size, round(0.35 * size)
    lines: list[tuple[str, Any, str]] = []

    def add(text: str, font: Any, ink: str = _INK) -> None:
        if font.getname()[0] not in ("DejaVu Sans", "Arial"):
            text = ascii_text(text)  # Pillow's own font has few letters
        lines.extend((row, font, ink) for row in _wrap(text, font, width - 2 * margin))

    add(caption.title, title)
    if caption.synthetic:
        add(SYNTHETIC, body, _ALARM)
    for sentence in (*caption.shown, *caption.credit):
        add(sentence, body)
    steps = [sum(font.getmetrics()) + gap for _, font, _ in lines]
    whole = Image.new("RGB", (width, height + sum(steps) + 2 * margin), _PAPER)
    whole.paste(
        Image.fromarray(np.ascontiguousarray(picture)), ((width - columns) // 2, 0)
    )
    draw = ImageDraw.Draw(whole)
    top = height + margin
    for (text, font, ink), step in zip(lines, steps, strict=True):
        draw.text((margin, top), text, fill=ink, font=font)
        top += step
    return np.asarray(whole)


def slice_picture(
    volume: Volume,
    labels: Sequence[LabelSet],
    k: int,
    window: tuple[float, float],
) -> Picture:
    """One slice as radiologists look at it, with the outlines of its labels.

    Parameters
    ----------
    volume : Volume
        Of sound geometry.
    labels : sequence of LabelSet
        On its grid; drawn in the colours that the window of napari gives them.
    k : int
        Slice.
    window : (level, width)
        In units of the array.

    Returns
    -------
    (rows, columns, 3) uint8
        Square in the patient, every voxel a block of equal pixels; an axial
        slice has the patient's right on the left and anterior on top, and
        letters at the edges say so.

    Raises
    ------
    BrokenGeometry
    """
    from scipy import ndimage

    require_sound(volume, "export")
    level, width = window
    low = level - width / 2
    grey = np.clip((volume.array[k].astype(np.float32) - low) / width, 0, 1)
    upright, sideways, edges = _turned(volume)
    step = spacing_of(volume.affine)[1:]
    size = np.array(grey.shape) * np.array(step) / min(step)
    scale = max(1, int(np.ceil(_LONGER_SIDE / size.max())))
    rows, columns = (round(float(n)) for n in size * scale)

    def fit(plane: NDArray[Any]) -> NDArray[Any]:
        seen = np.ascontiguousarray(plane[::upright, ::sideways])
        image = Image.fromarray(seen)
        return np.asarray(image.resize((columns, rows), Image.Resampling.NEAREST))

    picture = np.repeat(fit(np.rint(255 * grey).astype(np.uint8))[..., None], 3, axis=2)
    for one in labels:
        seen = fit(one.array[k].astype(np.int32))
        for value in np.unique(seen[seen > 0]).tolist():
            here = seen == value
            line = ndimage.binary_dilation(here) & ~ndimage.binary_erosion(
                here, None, 2
            )
            picture[line] = _rgb(colour_of(value))
    return _lettered(picture, edges, min(step) / scale)


def _turned(volume: Volume) -> tuple[int, int, dict[str, str]]:
    """Steps along rows and columns as they are shown, and the letters at the edges.

    The same rule as on the canvas: anterior or head on top, the patient's left
    or back on the right.
    """
    letters = axis_letters(volume.affine)
    upright = -1 if letters[1][1] in "SAR" else 1
    sideways = 1 if letters[2][1] in "LPS" else -1
    top, bottom = letters[1][::upright]
    left, right = letters[2][::sideways]
    return upright, sideways, {"t": top, "b": bottom, "l": left, "r": right}


def _lettered(picture: NDArray[Any], edges: dict[str, str], pixel_mm: float) -> Picture:
    """Draw letters at the edges and a bar of 50 mm, or the longest that fits."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    columns, rows = image.size
    size = max(14, columns // 40)
    font, pad = _font(size), size // 2
    places = {
        "t": (columns / 2, pad, "ma"),
        "b": (columns / 2, rows - pad, "md"),
        "l": (pad, rows / 2, "lm"),
        "r": (columns - pad, rows / 2, "rm"),
    }
    style: dict[str, Any] = {"fill": "#ffffff", "stroke_width": 2, "stroke_fill": 0}
    for edge, (x, y, anchor) in places.items():
        draw.text((x, y), edges[edge], font=font, anchor=anchor, **style)
    length = next(mm for mm in (50, 20, 10, 5, 1) if mm / pixel_mm < columns / 3)
    end, base = columns - 2 * pad, rows - 2 * pad
    start = end - length / pixel_mm
    draw.line([(start, base), (end, base)], fill="#000000", width=size // 3 + 2)
    draw.line([(start, base), (end, base)], fill="#ffffff", width=size // 4)
    middle = ((start + end) / 2, base - pad)
    draw.text(middle, f"{length} mm", font=font, anchor="md", **style)
    return np.asarray(image)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def _font(size: int) -> Any:
    """A font of the machine with letters for all names, else Pillow's own."""
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _wrap(text: str, font: Any, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels; a longer word is cut, never lost."""
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            rows[-1] = longer
            continue
        if rows[-1]:
            rows.append("")
        for letter in word:
            if rows[-1] and font.getlength(rows[-1] + letter) > width:
                rows.append("")
            rows[-1] += letter
    return rows


def _save(path: Path, framed: Picture, caption: Caption, origin: str) -> None:
    image = Image.fromarray(framed)
    if path.suffix == ".png":
        words = PngImagePlugin.PngInfo()
        for key, value in _embedded(caption, origin).items():
            words.add_itxt(key, value)
        image.save(path, pnginfo=words)
        return
    tags = {
        _DESCRIPTION: f"{ascii_text(caption.text)}\n{ascii_text(origin)}",
        _SOFTWARE: "napari-tcia",
        _COPYRIGHT: ascii_text(" ".join(caption.credit)),
    }
    image.save(path, compression="tiff_deflate", tiffinfo=tags)


def _embedded(caption: Caption, origin: str) -> dict[str, str]:
    """Texts of a PNG by keyword (PNG 3rd edition, section 11.3.3.1)."""
    return {
        "Title": caption.title,
        "Description": caption.text,
        "Copyright": "\n".join(caption.credit),
        "Software": "napari-tcia",
        "Provenance": origin,
    }


def _reread(
    path: Path, name: Path, framed: Picture, caption: Caption, origin: str
) -> None:
    with Image.open(path) as image:
        image.load()
        same = np.array_equal(np.asarray(image), framed)
        require_equal(bool(same), name, "pixels")
        if isinstance(image, PngImagePlugin.PngImageFile):
            found = {key: str(text) for key, text in image.text.items()}
            require_equal(found == _embedded(caption, origin), name, "words")
        else:
            words = str(image.getexif()[_DESCRIPTION])
            require_equal(words.endswith(ascii_text(origin)), name, "words")
