"""Pictures of the citation panel, as shown in the docs.

    python scripts/citation_pictures.py [FOLDER]

Opens the window on a SYNTHETIC case whose layers carry the provenance of CT
Lymph Nodes, so that the panel has what it has for the real collection, and
writes ``citations.png`` and ``citations-dark.png`` to FOLDER, by default
docs/images: the panel in one line, and with its details. Needs a screen.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # before napari is imported: nothing read or written

from napari.settings import get_settings
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_tcia._napari import launch
from napari_tcia._napari.layers import add_case
from napari_tcia._napari.session import session_for
from napari_tcia.app.assemble import Case
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.cite.references import CT_LYMPH_NODES_DOI
from napari_tcia.core.model import Provenance
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.demo.twin import phantom_case


def main(folder: Path) -> None:
    """One picture for each theme: collapsed above, details below."""
    with (
        tempfile.TemporaryDirectory(prefix="napari-tcia-pictures-") as place,
        EmbeddedArchive() as archive,
    ):
        services = Services.open(archive.settings(Path(place) / "home"))
        (found,) = open_case(services, phantom_case(Path(place), matrix=192, step=5.0))
        case = _as_collection(found)
        for theme, name in (("light", "citations"), ("dark", "citations-dark")):
            _picture(services, case, theme, folder / f"{name}.png")


def _as_collection(case: Case) -> Case:
    shown = Provenance(
        origin="archive",
        collection="CT Lymph Nodes",
        series_uid="61.7.1",
        doi=CT_LYMPH_NODES_DOI,
        licence_id="CC-BY-3.0",
        licence_name="CC BY 3.0",
        source="idc",
        terms="accepted",
        modality="CT",
    )
    return replace(
        case,
        volume=replace(case.volume, provenance=shown),
        labels=tuple(replace(one, provenance=shown) for one in case.labels),
        points=None,
    )


def _picture(services: Services, case: Case, theme: str, path: Path) -> None:
    get_settings().appearance.theme = theme
    viewer, _ = launch.build(services)
    viewer.theme = theme
    add_case(viewer, case)
    viewer.add_image(case.volume.array // 2, name="smoothed", visible=False)
    session = session_for(viewer)
    launch.wait(lambda: session.citations.panel is not None)
    panel = session.citations.panel
    pictures = [_shot(panel)]
    panel.details_button.click()
    pictures.append(_shot(panel))
    viewer.close()
    gap = 14
    width = max(one.width for one in pictures)
    height = sum(one.height for one in pictures) + gap
    ground = "white" if theme == "light" else "black"
    whole = Image.new("RGB", (width, height), ground)
    whole.paste(pictures[0], (0, 0))
    whole.paste(pictures[1], (0, pictures[0].height + gap))
    whole.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(
        path, optimize=True
    )
    print(path)


def _shot(panel: object) -> Image.Image:
    launch.wait(lambda: False, 0.8)
    picture = panel.grab().toImage()
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        picture.save(file.name)
        QApplication.processEvents()
        return Image.open(file.name).convert("RGB")


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "docs" / "images"
    main(Path(sys.argv[1]) if sys.argv[1:] else default)
