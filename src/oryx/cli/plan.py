"""`oryx plan`: what media will cost, before a pixel is decoded."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Annotated

import typer

from oryx.cli import options as opt
from oryx.errors import ConfigError


def plan_command(
    media: Annotated[
        list[str] | None, typer.Argument(metavar="[MEDIA...]", help="Pictures, videos, folders of views.")
    ] = None,
    model: opt.Model = "nano",
    compression: opt.Compression = None,
    detail: opt.Detail = None,
    max_frames: opt.MaxFrames = None,
    fps: opt.Fps = None,
    max_pixels: opt.MaxPixels = None,
    budget: opt.Budget = None,
    focus: opt.Focus = None,
    keyframes: opt.Keyframes = False,
    fast_resize: opt.FastResize = False,
    views: opt.Views = False,
    subtitles: opt.Subtitles = None,
    timestamps: opt.Timestamps = False,
    question: Annotated[str | None, typer.Option(help="Count the whole prompt with this question.")] = None,
    prompt_style: opt.Style = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Measure this machine with this model once, to forecast seconds."),
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Forecast tokens, cache and operations from headers alone; equal to what the model gets."""
    from oryx.cli.display import print_plan
    from oryx.cli.forecast import count_prompt, make_planner, model_folder, spend
    from oryx.cli.media import read_media
    from oryx.processing.budget import Budget
    from oryx.processing.markers import with_markers

    folder = model_folder(model)
    if calibrate:
        if quantize is not None:
            raise ConfigError("--calibrate measures weights as they are stored: leave --quantize out.")
        from oryx.cli.calibrate import calibrate_machine

        speed = calibrate_machine(folder, vision_tower, dtype, device)
        if not media:
            if as_json:
                print(json.dumps(asdict(speed)))
            return
    if not media:
        raise ConfigError("media are missing: pictures, videos or folders of views to plan for.")
    frames = (max_frames, fps, max_pixels, focus, keyframes, fast_resize)
    dials = opt.dials(compression, detail, *frames, subtitles, timestamps)
    sources = read_media(media, dials, views)
    text = None if question is None else with_markers(question, len(sources))
    limit = Budget.parse(budget)
    exact = limit is not None and limit.memory is not None
    planner = make_planner(folder, vision_tower, dtype, device, quantize, exact)
    style = prompt_style and prompt_style.value
    if text is None:
        sources = planner.spend(sources, limit)
    else:
        sources = spend(planner, folder, sources, limit, text, style=style)
    plan = planner.forecast(sources)
    if text is not None:
        from oryx.loading import load_processor

        plan = replace(plan, prompt_tokens=count_prompt(load_processor(folder), plan.visuals, text, style))
    planner.check(plan)
    if as_json:
        print(json.dumps(plan.to_dict(), ensure_ascii=False))
    else:
        print_plan(plan)
