"""Pictures of the terms dialog, as shown in the docs.

    python scripts/terms_pictures.py [FOLDER]

Shows the terms of CT Lymph Nodes as the embedded archive has them, whose texts
are SYNTHETIC stand-ins, and writes ``terms.png`` and ``terms-dark.png`` to
FOLDER, by default docs/images. Needs a screen.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # before napari is imported: nothing read or written

from napari.settings import get_settings
from PIL import Image

from napari_tcia._napari import launch
from napari_tcia._qt.terms_dialog import TermsDialog
from napari_tcia.app import agree
from napari_tcia.app.services import Services
from napari_tcia.demo.server import EmbeddedArchive


def main(folder: Path) -> None:
    """One picture for each theme."""
    with (
        tempfile.TemporaryDirectory(prefix="napari-tcia-pictures-") as place,
        EmbeddedArchive() as archive,
    ):
        services = Services.open(archive.settings(Path(place) / "home"))
        terms = agree.terms_of_collection(services, "CT Lymph Nodes")
        for theme, name in (("light", "terms"), ("dark", "terms-dark")):
            get_settings().appearance.theme = theme
            viewer, browser = launch.build(services)
            dialog = TermsDialog(terms, name="", parent=browser.window())
            dialog.open()
            launch.wait(lambda: False, 0.8)
            path = folder / f"{name}.png"
            dialog.grab().save(str(path))
            dialog.reject()
            viewer.close()
            picture = Image.open(path).convert("RGB")
            small = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128)
            small.save(path, optimize=True)
            print(path)


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "docs" / "images"
    main(Path(sys.argv[1]) if sys.argv[1:] else default)
