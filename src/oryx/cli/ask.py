"""`oryx ask`: one question about pictures, videos or a scene."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from oryx.cli import options as opt

if TYPE_CHECKING:
    from rich.console import Console


def ask_command(
    media: Annotated[
        list[str] | None, typer.Argument(help="Pictures, videos and folders of views.", show_default=False)
    ] = None,
    *,
    question: Annotated[str, typer.Argument(help="In quotes. <image> in it says where a medium stands.")],
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
    prompt_style: opt.Style = None,
    max_new_tokens: opt.MaxNewTokens = 256,
    temperature: opt.Temperature = 0.0,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_dtype: opt.VisionDtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    as_json: opt.Json = False,
    stream: Annotated[bool, typer.Option(help="Print the answer as it is generated.")] = True,
) -> None:
    """Ask about pictures, videos or a scene: oryx ask cat.jpg "What is this?" """
    from oryx.cli.display import plan_line, stderr
    from oryx.cli.forecast import make_planner, model_folder, spend
    from oryx.cli.media import check_question, read_media
    from oryx.cli.session import add_media, count_positions, load_session
    from oryx.processing.context import check_sampling
    from oryx.processing.markers import with_markers
    from oryx.processing.weights import check_quantize

    # Everything that can be wrong with the input is found before the model is loaded.
    check_sampling(max_new_tokens, temperature)
    check_quantize(quantize)
    check_question(question, media)
    frames = (max_frames, fps, max_pixels, focus, keyframes, fast_resize)
    dials = opt.dials(compression, detail, *frames, subtitles, timestamps)
    sources = read_media(media or [], dials, views)
    question = with_markers(question, len(sources))
    folder = model_folder(model)
    planner = make_planner(folder, vision_tower, dtype, device, quantize)
    style = prompt_style and prompt_style.value
    sources = spend(planner, folder, sources, budget, question, max_new_tokens, style)
    plan = planner.forecast(sources)
    planner.check(plan)
    console = stderr()
    lines = [] if as_json else [plan_line(visual) for visual in plan.visuals]
    if console.is_terminal:
        _show(console, lines)
    seconds: dict[str, float] = {}
    began = time.perf_counter()
    session = load_session(folder, device, dtype, vision_tower, style, quantize, vision_dtype)
    seconds["load"] = time.perf_counter() - began
    num_prompt = count_positions(session, plan.visuals, question, max_new_tokens)
    plan = replace(plan, prompt_tokens=num_prompt)
    seconds["encode"] = add_media(session, sources, plan.visuals)
    if not console.is_terminal:  # only now, so that an error on a redirected stderr stands alone
        _show(console, lines)
    streams = stream and not as_json
    answer = session.ask(
        question, max_new_tokens=max_new_tokens, temperature=temperature, write=_write if streams else None
    )
    seconds["generate"] = answer.seconds
    if not as_json:
        print("" if streams else answer.text)
        return
    result = {
        "answer": answer.text,
        "visual_tokens": plan.num_visual_tokens,
        "prompt_tokens": answer.prompt_tokens,
        "new_tokens": answer.num_tokens,
        "plan": plan.to_dict(),
        "model": model,
        "seconds": {name: round(taken, 3) for name, taken in seconds.items()},
    }
    print(json.dumps(result, ensure_ascii=False))


def _show(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, style="dim", markup=False)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
