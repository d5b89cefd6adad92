"""The Cancer Imaging Archive in napari, on the command line and in Python.

>>> import napari_tcia as nt
>>> [row.patient_id for row in nt.search("CT Lymph Nodes", offline=True)][:1]
['ABD_LYMPH_001']

Nothing heavy is imported until a function is used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "accept",
    "cite",
    "collections",
    "companion_nodes",
    "drafts",
    "export",
    "get",
    "inspect",
    "make_queue",
    "node_table",
    "nodes_only",
    "open_around",
    "open_case",
    "queues",
    "read_labels",
    "read_points",
    "read_volume",
    "replay",
    "revoke",
    "search",
    "terms",
]

if TYPE_CHECKING:
    from napari_tcia.app.api import (
        accept,
        cite,
        collections,
        companion_nodes,
        drafts,
        export,
        get,
        inspect,
        make_queue,
        node_table,
        nodes_only,
        open_around,
        open_case,
        queues,
        read_labels,
        read_points,
        read_volume,
        replay,
        revoke,
        search,
        terms,
    )


class _Package(ModuleType):
    """A package whose functions come before the rooms of their names.

    Importing ``napari_tcia.terms`` would bind that room here and hide the function
    ``terms``; rooms are reached by importing from them.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("napari_tcia.app.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
