"""A catalogue of boxes, and a renderer where this machine has one."""

import subprocess
import sys

import pytest
from made_furniture import write_catalogue

from oryx.data.rooms.catalogue import read_furniture

_TRY = "from oryx.data.rooms.render import Camera, Renderer; Renderer(32, 32)._window.Render()"


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory):
    return write_catalogue(tmp_path_factory.mktemp("furniture") / "Boxes.sh3f")


@pytest.fixture(scope="session")
def furniture(catalogue):
    return read_furniture([catalogue])


@pytest.fixture(scope="session")
def can_draw():
    """Skips where VTK or trimesh is missing, or finds nothing to draw on."""
    pytest.importorskip("trimesh")
    pytest.importorskip("vtkmodules")
    # In a process of its own, for VTK may end the process where there is neither a display nor EGL.
    tried = subprocess.run([sys.executable, "-c", _TRY], capture_output=True, timeout=120)
    if tried.returncode:
        pytest.skip("VTK cannot draw on this machine: neither a display nor EGL or OSMesa")
