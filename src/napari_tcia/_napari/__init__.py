"""The only code that imports napari: sessions, layers, docks, readers."""
