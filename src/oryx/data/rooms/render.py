"""Pictures, exact instance ids and depth of a room's triangles, drawn by VTK without a display."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from oryx.errors import ConfigError

# Legend: F triangles, H and W sides of a view in pixels.

NEAR, FAR = 0.1, 40.0
"""Metres; nothing nearer or farther is drawn."""
_FINER = 2  # pictures are drawn so many times larger and then reduced, for smooth edges
_KEPT = _FINER // 2  # which of the finer pixels gives the id and the depth, which cannot be mixed

_AMBIENT, _DIFFUSE = 0.5, 0.7  # what a surface sends back of the light all around, and of the lamps'


@dataclass(frozen=True)
class Camera:
    """Where a view is taken from. Metres, z up."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    fov: float
    """Vertical field of view in degrees."""

    def axes(self) -> np.ndarray:
        """(3, 3): the directions right, down and forward, one a row."""
        forward = np.subtract(self.target, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        return np.stack((right, np.cross(forward, right), forward))

    def pose(self) -> np.ndarray:
        """(4, 4) camera to world; camera axes x right, y down, z forward, as in ScanNet and OpenCV."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes().T
        matrix[:3, 3] = self.position
        return matrix

    def intrinsics(self, height: int, width: int) -> np.ndarray:
        """(3, 3), in pixels whose centers are at whole numbers plus one half."""
        focal = height / 2 / math.tan(math.radians(self.fov) / 2)
        return np.array(((focal, 0, width / 2), (0, focal, height / 2), (0, 0, 1)))

    def project(self, points: np.ndarray, height: int, width: int) -> np.ndarray:
        """(N, 3) points -> (N, 3): y and x in pixels, and depth along the view in metres."""
        seen = (points - self.position) @ self.axes().T
        depth = np.maximum(seen[:, 2], 1e-6)
        focal = height / 2 / math.tan(math.radians(self.fov) / 2)
        return np.stack(
            (height / 2 + focal * seen[:, 1] / depth, width / 2 + focal * seen[:, 0] / depth, seen[:, 2]), 1
        )


@dataclass(frozen=True)
class Light:
    """A lamp at a place (metres), with a colour of 0 to 1 that holds its strength."""

    position: tuple[float, float, float]
    color: tuple[float, float, float]


@dataclass(frozen=True)
class Triangles:
    """What is drawn."""

    points: np.ndarray
    """(F, 3, 3) float32, metres."""
    normals: np.ndarray
    """(F, 3, 3) float32, of length one; a surface is lit from the side that is looked at."""
    colors: np.ndarray
    """(F, 3) uint8."""
    ids: np.ndarray
    """(F,) the instance that each triangle belongs to, 0 to 255; 0 is the room itself."""


@dataclass(frozen=True)
class Render:
    """One view."""

    image: Image.Image
    """RGB."""
    ids: np.ndarray
    """(H, W) uint8."""
    depth: np.ndarray
    """(H, W) float32: metres along the view; `FAR` where nothing is."""


class Renderer:
    """An offscreen window of one size. Making one takes a tenth of a second; a view a few hundredths.

    Raises:
        ConfigError: VTK is not installed.
    """

    def __init__(self, height: int, width: int) -> None:
        try:
            from vtkmodules import vtkRenderingOpenGL2  # noqa: F401  (registers the classes that draw)
            from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper, vtkRenderer
        except ImportError:
            raise ConfigError('Rooms are drawn by VTK: pip install "oryx-mllm[rooms]".') from None
        self.height, self.width = height, width
        self._window = _make_window()
        self._window.SetMultiSamples(0)
        self._window.SetSize(width * _FINER, height * _FINER)
        self._renderers, self._mappers = [], []
        for lit in (True, False):
            renderer, mapper, actor = vtkRenderer(), vtkPolyDataMapper(), vtkActor()
            mapper.SetScalarModeToUseCellData()
            actor.SetMapper(mapper)
            surface = actor.GetProperty()
            surface.SetLighting(lit)
            # Without lighting both shares are still summed, so the ids' must make exactly one.
            surface.SetAmbient(_AMBIENT if lit else 1.0)
            surface.SetDiffuse(_DIFFUSE if lit else 0.0)
            renderer.AddActor(actor)
            renderer.SetBackground(0, 0, 0)
            renderer.AutomaticLightCreationOff()
            self._window.AddRenderer(renderer)
            self._renderers.append(renderer)
            self._mappers.append(mapper)

    def draw(self, triangles: Triangles, lights: Sequence[Light], cameras: Sequence[Camera]) -> list[Render]:
        """One view of each camera."""
        ids = np.zeros((len(triangles.ids), 3), np.uint8)
        ids[:, 0] = triangles.ids
        geometry = _poly_data(triangles)
        for mapper, colors in zip(self._mappers, (triangles.colors, ids), strict=True):
            mapper.SetInputData(_with_colors(geometry, colors))
        self._set_lights(lights)
        return [self._draw_view(camera) for camera in cameras]

    def _set_lights(self, lights: Sequence[Light]) -> None:
        from vtkmodules.vtkRenderingCore import vtkLight

        lit = self._renderers[0]
        lit.RemoveAllLights()
        for light in lights:
            made = vtkLight()
            made.SetLightTypeToSceneLight()
            made.PositionalOn()
            made.SetConeAngle(180)
            made.SetPosition(*light.position)
            made.SetColor(*light.color)
            lit.AddLight(made)

    def _draw_view(self, camera: Camera) -> Render:
        pictures = []
        for shown, hidden in ((0, 1), (1, 0)):
            self._renderers[hidden].DrawOff()
            renderer = self._renderers[shown]
            renderer.DrawOn()
            view = renderer.GetActiveCamera()
            view.SetPosition(*camera.position)
            view.SetFocalPoint(*camera.target)
            view.SetViewUp(0, 0, 1)
            view.SetViewAngle(camera.fov)
            view.SetClippingRange(NEAR, FAR)
            # In units of half the window: what lies in the middle of a pixel moves to where it is read.
            off = 2 * ((_KEPT + 0.5) / _FINER - 0.5) if shown else 0.0
            view.SetWindowCenter(-off / self.width, off / self.height)
            self._window.Render()
            pictures.append(self._read_pixels())
        image = Image.fromarray(pictures[0]).reduce(_FINER)
        ids = np.ascontiguousarray(pictures[1][_KEPT::_FINER, _KEPT::_FINER, 0])
        depth = np.ascontiguousarray(self._read_depth()[_KEPT::_FINER, _KEPT::_FINER])
        return Render(image, ids, depth)

    def _read_pixels(self) -> np.ndarray:
        """(H, W, 3) uint8 at the finer size, the top row first."""
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkUnsignedCharArray

        height, width = self.height * _FINER, self.width * _FINER
        pixels = vtkUnsignedCharArray()
        self._window.GetPixelData(0, 0, width - 1, height - 1, 0, pixels, 0)
        return np.ascontiguousarray(vtk_to_numpy(pixels).reshape(height, width, 3)[::-1])

    def _read_depth(self) -> np.ndarray:
        """(H, W) float32 metres at the finer size."""
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkFloatArray

        height, width = self.height * _FINER, self.width * _FINER
        values = vtkFloatArray()
        self._window.GetZbufferData(0, 0, width - 1, height - 1, values)
        buffer = vtk_to_numpy(values).reshape(height, width)[::-1]
        return (NEAR * FAR / (FAR - buffer * (FAR - NEAR))).astype(np.float32)


def _make_window() -> Any:
    """An offscreen window; on Linux without a display one that asks for none (EGL, or OSMesa)."""
    from vtkmodules import vtkRenderingOpenGL2
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

    made = None
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        for name in ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow"):
            if hasattr(vtkRenderingOpenGL2, name):
                made = getattr(vtkRenderingOpenGL2, name)()
                break
    window = made or vtkRenderWindow()
    window.SetOffScreenRendering(1)
    return window


def _poly_data(triangles: Triangles) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    count = len(triangles.points)
    points, cells, made = vtkPoints(), vtkCellArray(), vtkPolyData()
    points.SetData(numpy_to_vtk(triangles.points.reshape(-1, 3), deep=True))
    offsets = numpy_to_vtkIdTypeArray(np.arange(0, 3 * count + 1, 3), deep=True)
    cells.SetData(offsets, numpy_to_vtkIdTypeArray(np.arange(3 * count), deep=True))
    made.SetPoints(points)
    made.SetPolys(cells)
    made.GetPointData().SetNormals(numpy_to_vtk(triangles.normals.reshape(-1, 3), deep=True))
    return made


def _with_colors(geometry: Any, colors: np.ndarray) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkPolyData

    made = vtkPolyData()
    made.ShallowCopy(geometry)
    made.GetCellData().SetScalars(numpy_to_vtk(colors, deep=True))
    return made
