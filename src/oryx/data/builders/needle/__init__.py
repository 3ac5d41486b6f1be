"""Needle records from any folder of videos: a caption of one frame by its index, the difference between two.

    settings = NeedleSettings(count=100)
    report = build_needles("videos/", "needles/", OpenAICaptioner("http://localhost:8000/v1"), settings)

The method follows the published training on long videos, whose records were made by a program that was never
released.
"""

from oryx.data.builders.needle.build import NeedleReport, build_needles
from oryx.data.builders.needle.captioners import Captioner
from oryx.data.builders.needle.endpoint import OpenAICaptioner
from oryx.data.builders.needle.settings import NeedleSettings

__all__ = ["Captioner", "NeedleReport", "NeedleSettings", "OpenAICaptioner", "build_needles"]
