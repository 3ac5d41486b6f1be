"""`oryx plan`: what media will cost, before a pixel is decoded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

import typer

from oryx.cli import options as opt


def plan_command(
    media: Annotated[
        list[str], typer.Argument(metavar="MEDIA...", help="Pictures, videos, folders of views.")
    ],
    model: opt.Model = "nano",
    compression: opt.Compression = None,
    detail: opt.Detail = None,
    max_frames: opt.MaxFrames = None,
    fps: opt.Fps = None,
    max_pixels: opt.MaxPixels = None,
    views: opt.Views = False,
    subtitles: opt.Subtitles = None,
    timestamps: opt.Timestamps = False,
    question: Annotated[str | None, typer.Option(help="Count the whole prompt with this question.")] = None,
    prompt_style: opt.Style = None,
    dtype: opt.Dtype = "auto",
    vision_tower: opt.VisionTower = None,
    as_json: opt.Json = False,
) -> None:
    """Forecast tokens, cache and operations from headers alone; equal to what the model gets."""
    from oryx.cli.display import print_plan
    from oryx.cli.forecast import count_prompt, forecast, load_processor, model_folder
    from oryx.cli.media import read_media
    from oryx.processing.markers import with_markers

    dials = opt.dials(compression, detail, max_frames, fps, max_pixels, subtitles, timestamps)
    sources = read_media(media, dials, views)
    text = None if question is None else with_markers(question, len(sources))
    folder = model_folder(model)
    plan = forecast(folder, sources, vision_tower, dtype)
    if text is not None:
        style = prompt_style and prompt_style.value
        plan = replace(plan, prompt_tokens=count_prompt(load_processor(folder), plan.visuals, text, style))
    if as_json:
        print(json.dumps(plan.to_dict(), ensure_ascii=False))
    else:
        print_plan(plan)
