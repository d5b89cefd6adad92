"""Doctor: what is installed, where things are kept, which services answer."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path

from napari_tcia.app.services import Services
from napari_tcia.core.settings import netloc
from napari_tcia.errors import TciaError
from napari_tcia.transfer.space import Usage, usage

REQUIRED = ("napari-tcia", "napari", "pydicom", "highdicom", "nibabel", "scikit-image")
EXTRAS = {
    "PyQt6": "all",
    "pylibjpeg": "codecs",
    "pyjpegls": "codecs",
    "python-gdcm": "codecs",
    "slicerio": "slicer",
    "citeproc-py": "styles",
    "idc-index-data": "idc",
    "pyarrow": "idc",
}
"""Optional packages and the extra that brings each."""


def examine() -> list[dict[str, str]]:
    """Findings as rows of state ("ok", "missing", "failed"), what, text."""
    rows = [_row("ok", "Python", sys.version.split()[0])]
    for name in REQUIRED:
        rows.append(_package(name, ""))
    for name, extra in EXTRAS.items():
        rows.append(_package(name, f'pip install "napari-tcia[{extra}]"'))
    try:
        services = Services.open()
        rows += _home(services)
    except TciaError as error:
        return [*rows, _row("failed", "home", str(error))]
    settings = services.settings
    for what, url in (
        ("archive", f"{settings.archive}/v4/getCollectionValues"),
        ("collections", f"{settings.collections}/v2/collections/?per_page=1"),
        ("datacite", f"{settings.datacite}/dois/10.7937/K9/TCIA.2015.AQIIDCNM"),
    ):
        try:
            reply = services.transport.get(url)
        except TciaError as error:
            rows.append(_row("failed", what, str(error)))
        else:
            rows.append(_row("ok", what, f"{netloc(url)} answers ({reply.status})"))
    return rows


def _home(services: Services) -> list[dict[str, str]]:
    """What is kept, and whether it can be trusted."""
    home = services.settings.home
    free = shutil.disk_usage(home).free
    issues = services.ledger.verify()
    broken = [i.message for i in issues if i.level == "error"]
    store, settings = services.store, services.settings
    kept = usage(store.root, services.decoded, settings.limit)
    return [
        _row("ok", "home", f"{home} ({free / 1e9:.1f} GB free)"),
        _row("ok", "stored series", _amount(len(store.all()), kept.series, store.root)),
        _row(
            "ok",
            "decoded copies",
            _amount(len(kept.copies), kept.decoded, services.decoded),
        ),
        _row("ok", "limit", _limit(kept)),
        _row(
            "failed" if broken else "ok",
            "acceptances",
            broken[0] if broken else str(len(services.ledger.records())),
        ),
        _row("ok", "catalogue", services.catalogue.date),
    ]


def _amount(count: int, size: int, place: Path) -> str:
    return f"{count} ({size / 1e9:.1f} GB) in {place}"


def _limit(kept: Usage) -> str:
    text = (
        f"{kept.limit / 1e9:.1f} GB for both (NAPARI_TCIA_LIMIT_GB); "
        f"{kept.spare / 1e9:.1f} GB of the disk stay free"
    )
    if kept.excess() > 0:
        text += "; too little is left, so no decoded copies are kept"
    return text


def _package(name: str, install: str) -> dict[str, str]:
    try:
        return _row("ok", name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return _row("missing", name, install or "not installed")


def _row(state: str, what: str, text: str) -> dict[str, str]:
    return {"state": state, "what": what, "text": text}
