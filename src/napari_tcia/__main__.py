"""``python -m napari_tcia`` is the command ``napari-tcia``."""

from napari_tcia.cli import main

if __name__ == "__main__":
    main()
