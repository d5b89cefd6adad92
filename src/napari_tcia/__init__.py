"""The Cancer Imaging Archive in napari, on the command line and in Python.

>>> import napari_tcia as nt
>>> [row.patient_id for row in nt.search("CT Lymph Nodes", offline=True)][:1]
['ABD_LYMPH_001']

Nothing heavy is imported until a function is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "accept",
    "cite",
    "collections",
    "export",
    "get",
    "inspect",
    "node_table",
    "open_case",
    "read_labels",
    "read_points",
    "read_volume",
    "revoke",
    "search",
    "terms",
]

if TYPE_CHECKING:
    from napari_tcia.app.api import (
        accept,
        cite,
        collections,
        export,
        get,
        inspect,
        node_table,
        open_case,
        read_labels,
        read_points,
        read_volume,
        revoke,
        search,
        terms,
    )


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("napari_tcia.app.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
