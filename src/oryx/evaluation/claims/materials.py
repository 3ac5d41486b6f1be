"""What arms are trained on, as endless samples that a seed decides."""

from __future__ import annotations

from typing import Any

from oryx.data.synthetic.settings import parse_settings
from oryx.data.synthetic.source import SKILLS, Source
from oryx.evaluation.claims.arms import ROOM_MATERIALS, Arm, Material
from oryx.evaluation.claims.boards import Boards, Films
from oryx.evaluation.claims.views import Indexed, Looked

_SHORT: dict[str, Any] = {"canvas": (32, 40), "compression": 16, "turns": (2, 4)}
_NEEDLES: dict[str, Any] = {"canvas": (32, 40), "num_needles": (1, 4), "turns": (4, 8)}
_ROOMS: dict[str, Any] = {"height": 64, "width": 96, "turns": (6, 10)}


def material_of(name: Material, seed: int, rooms: str | None = None) -> Source:
    """Samples of a material, with marks.

    Args:
        rooms: folder with the rooms "train", for those materials alone.

    Raises:
        ConfigError: there are no rooms.
    """
    skills: dict[str, tuple[float, Any]]
    if name == "boards":
        skills = {"board": (1.0, Boards())}
    elif name == "films":
        skills = {"film": (1.0, Films())}
    elif name in ROOM_MATERIALS:
        drawn = 1.0 if name == "rooms_marked" else 0.0
        skills = {
            "rooms": (1.0, _skill("rooms", {**_ROOMS, "folder": f"{rooms}/train", "marks_drawn": drawn}))
        }
    else:
        skills = {
            "video_order": (1.0, _skill("video_order", {**_SHORT, "num_frames": (4, 16)})),
            "frame_at": (1.0, _skill("frame_at", {**_SHORT, "num_frames": (2, 16)})),
        }
        if name == "needles":
            # Many short ones first teach what to look for; the long ones teach where.
            skills["needle"] = (10.0, _skill("needle", {**_NEEDLES, "num_frames": (4, 64)}))
            skills["long_needle"] = (0.5, _skill("needle", {**_NEEDLES, "num_frames": (64, 1600)}))
    return Source(skills, seed)


def shown(source: Source, arm: Arm) -> Indexed:
    """The source as the arm looks at it."""
    return source if arm.views is None else Looked(source, arm.views)


def _skill(name: str, settings: dict[str, Any]) -> Any:
    settings_type, drawer = SKILLS[name]
    return drawer(parse_settings(settings_type, name, settings))
