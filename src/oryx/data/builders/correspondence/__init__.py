"""Coarse correspondences: the few objects seen in most views, marked with the same number in every view.

from oryx.data.builders.correspondence import MarkSettings, mark_scene

marked = mark_scene("scans/scene0000_00", "marked", MarkSettings(views=8))
marked.files       # the views, with their dots
marked.marked      # the objects that the numbers stand for, and where they are
"""

from oryx.data.builders.correspondence.batch import BatchResult, mark_scenes
from oryx.data.builders.correspondence.drawing import MarkStyle, contact_sheet, draw_marks
from oryx.data.builders.correspondence.marking import mark_scene
from oryx.data.builders.correspondence.marks import MarkedObject, MarkedScene, MarkedView, read_marks
from oryx.data.builders.correspondence.scenes import Scene, find_scenes, open_scene
from oryx.data.builders.correspondence.selection import select_objects, select_views
from oryx.data.builders.correspondence.settings import MarkSettings
from oryx.data.builders.correspondence.sights import Sight, Sightings

__all__ = [
    "BatchResult",
    "MarkSettings",
    "MarkStyle",
    "MarkedObject",
    "MarkedScene",
    "MarkedView",
    "Scene",
    "Sight",
    "Sightings",
    "contact_sheet",
    "draw_marks",
    "find_scenes",
    "mark_scene",
    "mark_scenes",
    "open_scene",
    "read_marks",
    "select_objects",
    "select_views",
]
