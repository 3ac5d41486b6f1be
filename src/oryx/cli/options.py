"""Options that several commands share, and the dials among them."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from oryx.errors import ConfigError


class PromptStyle(StrEnum):
    """Whether a newline token stands behind each visual."""

    train = "train"
    eval = "eval"


Model = Annotated[str, typer.Option(metavar="NAME", help="nano, a folder, or a hub id.")]
VisionTower = Annotated[
    Path | None, typer.Option(metavar="FILE", help="oryx_vit.pth, for a checkpoint that holds no tower.")
]
Compression = Annotated[
    int | None,
    typer.Option(
        metavar="RATIO",
        help="Patches to a token: 1, 2, 4, 8 or 16. Images 1, videos up to 64 frames 4, longer 16.",
    ),
]
Detail = Annotated[
    str | None, typer.Option(metavar="high|low", help="Both views of an image, or the small one alone.")
]
MaxFrames = Annotated[int | None, typer.Option(help="Take at most so many frames of a video (64).")]
Fps = Annotated[float | None, typer.Option(help="Frames to take per second, instead of spreading evenly.")]
MaxPixels = Annotated[int | None, typer.Option(help="Cap the area of every view and frame.")]
Views = Annotated[bool, typer.Option("--views", help="All pictures are views of one scene.")]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AMOUNT",
        help="Spend so much, as well as possible: 4096 (visual tokens), 2GB (memory) or 5s; may be repeated.",
    ),
]
Focus = Annotated[
    str | None,
    typer.Option(
        metavar="SPANS|auto",
        help="Where a video gets more of its tokens: 00:31-00:40, frames 120-240, or auto: where it changes.",
    ),
]
Keyframes = Annotated[
    bool,
    typer.Option("--keyframes", help="Read the nearest frames stored whole: faster, less exact."),
]
FastResize = Annotated[
    bool,
    typer.Option("--fast-resize", help="Resize faster, within one grey level of the exact pixels."),
]
VisionDtype = Annotated[str, typer.Option(metavar="auto|int8", help="int8: a faster vision tower on a CPU.")]
Subtitles = Annotated[
    str | None,
    typer.Option(metavar="FILE|auto", help="Put subtitles into the prompt; auto: the file beside the video."),
]
Timestamps = Annotated[bool, typer.Option("--timestamps", help="Put the frames' times into the prompt.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Quantize = Annotated[
    str | None,
    typer.Option(metavar="int8|int4", help="Store the language model's weights in 8 or 4 bits."),
]
# Of commands that run an engine: None where it is not given, for another engine has no such option.
EngineDevice = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ... (transformers).", show_default="auto")
]
EngineVisionDtype = Annotated[
    str | None, typer.Option(metavar="auto|int8", help="int8: a faster tower on a CPU (transformers).")
]
NumWorkers = Annotated[
    int | None, typer.Option(min=1, help="Processes that decode and encode; by default by the cores.")
]
Style = Annotated[
    PromptStyle | None, typer.Option(help="Prompt as in training (the default) or as in evaluation.")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="End the answer after so many tokens.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="0 answers greedily, more samples.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def dials(
    compression: int | None,
    detail: str | None,
    max_frames: int | None,
    fps: float | None,
    max_pixels: int | None,
    focus: str | None,
    keyframes: bool,
    fast_resize: bool,
    subtitles: str | None,
    timestamps: bool,
) -> dict[str, Any]:
    """The dials that were turned, as keys of a visual.

    Raises:
        ConfigError: one that is out of range, even if no medium would use it.
    """
    from oryx.processing.dials import check_dials

    check_dials(compression, detail, max_frames, fps, max_pixels, focus)
    given = {
        "compression": compression,
        "detail": detail,
        "max_frames": max_frames,
        "fps": fps,
        "max_pixels": max_pixels,
        "focus": focus,
        "keyframes": keyframes or None,
        "fast_resize": fast_resize or None,
        "subtitles": True if subtitles == "auto" else subtitles,
        "timestamps": timestamps or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def weights(model: str, vision_tower: Path | None, quantize: str | None, dtype: str) -> dict[str, Any]:
    """The options that say what is computed with, without those that are as by default."""
    chosen = None if dtype == "auto" else dtype
    return {"--model": model, "--vision-tower": vision_tower, "--quantize": quantize, "--dtype": chosen}


def parse_pair(text: str, what: str, between: str, form: str) -> tuple[int, int]:
    """Two whole numbers, such as "96x128".

    Raises:
        ConfigError: it is not; names what it is of, and the form it must have.
    """
    found = re.fullmatch(rf"\s*(\d+)\s*{between}\s*(\d+)\s*", text)
    if found is None:
        raise ConfigError(f"{what} is {text!r}; it must be {form}.")
    return int(found[1]), int(found[2])


def parse_range(text: str, what: str) -> tuple[int, int]:
    """ "4-8", or "6" for 6 to 6. Raises ConfigError for anything else."""
    doubled = f"{text}-{text}" if text.strip().isdigit() else text
    return parse_pair(doubled, what, "-", "MIN-MAX or one number")


def parse_size(text: str, what: str) -> tuple[int, int]:
    """ "32x48": height and width, or "32" for a square. Raises ConfigError for anything else."""
    doubled = f"{text}x{text}" if text.strip().isdigit() else text
    return parse_pair(doubled, what, "[xX]", "HEIGHTxWIDTH or one number")
