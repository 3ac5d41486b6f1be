"""`oryx chat`: many questions about the same media, which are encoded once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from oryx.cli import options as opt
from oryx.errors import OryxError

_PROMPT = "> "


def chat_command(
    media: Annotated[
        list[str] | None, typer.Argument(metavar="[MEDIA...]", help="Pictures, videos and folders of views.")
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
    prompt_style: opt.Style = None,
    max_new_tokens: opt.MaxNewTokens = 256,
    temperature: opt.Temperature = 0.0,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_dtype: opt.VisionDtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
) -> None:
    """Ask many questions in one conversation. Questions are lines; /quit or the end of input ends it."""
    from oryx.cli.display import plan_line, stderr
    from oryx.cli.forecast import make_planner, model_folder, spend
    from oryx.cli.media import read_media
    from oryx.cli.session import add_media, load_session
    from oryx.engine.session import ROOM
    from oryx.processing.context import check_sampling
    from oryx.processing.markers import with_markers
    from oryx.processing.weights import check_quantize

    check_sampling(max_new_tokens, temperature)
    check_quantize(quantize)
    frames = (max_frames, fps, max_pixels, focus, keyframes, fast_resize)
    dials = opt.dials(compression, detail, *frames, subtitles, timestamps)
    sources = read_media(media or [], dials, views)
    folder = model_folder(model)
    planner = make_planner(folder, vision_tower, dtype, device, quantize)
    room = max_new_tokens + ROOM  # for a question and its answer
    style = prompt_style and prompt_style.value
    sources = spend(planner, folder, sources, budget, with_markers("", len(sources)), room, style)
    plan = planner.forecast(sources)
    planner.check(plan)
    session = load_session(folder, device, dtype, vision_tower, style, quantize, vision_dtype)
    add_media(session, sources, plan.visuals)
    console = stderr()
    for visual in plan.visuals:
        console.print(plan_line(visual), style="dim", markup=False)
    for question in _questions():
        try:
            # All visuals belong to the first question; later ones refer to them.
            session.ask(question, max_new_tokens=max_new_tokens, temperature=temperature, write=_write)
        except OryxError as error:
            if not sys.stdin.isatty():
                raise
            console.print(str(error), markup=False)
        print()


def _questions() -> Iterator[str]:
    """Lines from the keyboard behind a prompt, or from a pipe; blank ones are passed over."""
    while True:
        if sys.stdin.isatty():
            try:
                line = input(_PROMPT)
            except EOFError:
                print()
                return
        else:
            line = sys.stdin.readline()
            if not line:
                return
        question = line.strip()
        if question in ("/quit", "/exit"):
            return
        if question.startswith("/") and " " not in question:
            print(f"oryx: there is no command {question}; /quit ends the conversation", file=sys.stderr)
        elif question:
            yield question


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
