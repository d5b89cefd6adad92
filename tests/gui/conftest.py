"""A small case, the embedded archive, and viewers."""

from __future__ import annotations

import gc
from functools import partial

import pytest

from napari_tcia._napari.session import session_for
from napari_tcia.app.case import open_case
from napari_tcia.app.services import Services
from napari_tcia.core.settings import Settings
from napari_tcia.demo.cases import lymph_case
from napari_tcia.demo.server import EmbeddedArchive
from napari_tcia.demo.twin import phantom_case

SMALL = {"matrix": 96, "slices": 40, "step": 5.0}


@pytest.fixture(scope="session", autouse=True)
def _plugins():
    """As in every window of napari; a bare viewer model looks for none."""
    from napari.plugins import _initialize_plugins

    _initialize_plugins()
    # napari collects garbage at every layer that goes. What was imported stays for
    # good and need not be looked through each time.
    gc.collect()
    gc.freeze()


@pytest.fixture
def qtbot(qtbot):
    """Waits for a condition a minute, not 5 s: other tests run beside this one."""
    qtbot.waitUntil = partial(qtbot.waitUntil, timeout=60_000)
    return qtbot


@pytest.fixture(scope="session")
def truth():
    """What the phantom was made from."""
    return lymph_case("MED_LYMPH_001", **SMALL)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A SYNTHETIC case as a user's own folder, CT and SEG and points."""
    home = phantom_case(tmp_path_factory.mktemp("phantom"), "MED_LYMPH_001", **SMALL)
    for mask in (home / "mask").iterdir():
        mask.unlink()
    (home / "mask").rmdir()
    return home


@pytest.fixture(scope="session")
def case(folder, tmp_path_factory):
    services = Services.open(Settings(home=tmp_path_factory.mktemp("case-home")))
    (found,) = open_case(services, folder)
    return found


@pytest.fixture(scope="session")
def coarse_case(tmp_path_factory):
    """The same body in ten slices, for tests that make a layer of each."""
    coarse = SMALL | {"slices": 10, "step": 20.0}
    home = phantom_case(tmp_path_factory.mktemp("coarse"), "MED_LYMPH_001", **coarse)
    services = Services.open(Settings(home=tmp_path_factory.mktemp("coarse-home")))
    (found,) = open_case(services, home)
    return found


@pytest.fixture(scope="session")
def _archive(tmp_path_factory):
    with EmbeddedArchive(cases=3, cache_dir=tmp_path_factory.mktemp("cache")) as server:
        yield server


@pytest.fixture
def archive(_archive):
    """The embedded archive, healthy at start and end."""
    _archive.fault = None
    yield _archive
    _archive.fault = None


@pytest.fixture
def services(archive, tmp_path):
    return Services.open(archive.settings(tmp_path / "home"))


@pytest.fixture
def pixels(archive):
    """Requests for pixels so far, as a function."""
    start = len(archive.log)

    def asked():
        words = ("getImage", "getSingleImage", "/files/")
        return [r.path for r in archive.log[start:] if any(w in r.path for w in words)]

    return asked


@pytest.fixture
def window(make_napari_viewer, qtbot, case):
    """A viewer that shows the case, and its session."""
    viewer = make_napari_viewer(show=True)
    session = session_for(viewer)
    session.add_cases([case])
    qtbot.waitUntil(lambda: session.image() is not None and not session.adding)
    qtbot.wait(50)
    return viewer, session
