"""`oryx data needle`: training records on long videos, from a folder of videos and a captioner."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oryx.cli.noise import complain
from oryx.cli.options import Json, parse_range
from oryx.errors import ConfigError

if TYPE_CHECKING:
    from oryx.data.builders.needle import NeedleReport

_SHOWN = 5


def needle_command(
    videos: Annotated[
        Path, typer.Argument(metavar="VIDEOS", help="A folder of videos, inner ones included.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to fill, or to go on with.")],
    captioner: Annotated[
        str,
        typer.Option(
            metavar="URL|MODEL",
            help="Base address of an OpenAI-compatible endpoint, or an Oryx model: nano, a folder, a hub id.",
        ),
    ],
    captioner_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The endpoint's model; needed where it serves several.")
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Holds the endpoint's key; else OPENAI_API_KEY is sent, if it is set."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Records in all; a larger number makes more.")] = 100,
    frames: Annotated[str, typer.Option(metavar="LOW-HIGH", help="Frames of a clip.")] = "192-256",
    per_clip: Annotated[int, typer.Option(min=1, help="Records on the frames of one clip.")] = 4,
    min_step: Annotated[float, typer.Option(help="Least seconds of a clip for each of its frames.")] = 0.5,
    layout: Annotated[
        str, typer.Option(metavar="patch|folder", help="Published patch files, or a folder of JPEGs a clip.")
    ] = "patch",
    max_pixels: Annotated[int, typer.Option(help="Frames are shrunk to this area.")] = 480**2,
    caption_prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the captioner is told about one frame.")
    ] = None,
    difference_prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the captioner is told about two frames.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in the captioner's tokens.")] = 400,
    timeout: Annotated[float, typer.Option(help="Seconds that one answer may take.")] = 120.0,
    retries: Annotated[int, typer.Option(min=0, help="Further tries after a failed one.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Requests at once to an endpoint.")] = 4,
    max_failures: Annotated[
        int, typer.Option(min=1, help="So many records in a row without a caption end the run.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Same seed, same clips, frames and questions.")] = 0,
    device: Annotated[str, typer.Option(help="Of an Oryx model: auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Of an Oryx model: auto, float32, bfloat16, float16.")] = "auto",
    as_json: Json = False,
) -> None:
    """Make needle records: what frame i of a long video shows, and how frames i and j differ.

    Records are kept as they come; the same command goes on where it was stopped.
    """
    from oryx.cli.display import progress_bar
    from oryx.data.builders.needle import NeedleSettings, build_needles
    from oryx.data.builders.needle.questions import PROMPTS
    from oryx.data.sources.needle import CAPTION, DIFFERENCE

    settings = NeedleSettings(
        count=count,
        frames=parse_range(frames, "frames"),
        per_clip=per_clip,
        min_step=min_step,
        layout=layout,
        max_pixels=max_pixels,
        seed=seed,
    )
    told = {
        CAPTION: caption_prompt or PROMPTS[CAPTION],
        DIFFERENCE: difference_prompt or PROMPTS[DIFFERENCE],
    }
    if captioner.startswith(("http://", "https://")):
        describer: Any = _endpoint(captioner, captioner_model, api_key_file, timeout, workers, max_tokens)
    elif captioner_model or api_key_file:
        raise ConfigError("--captioner-model and --api-key-file are for an endpoint: --captioner http://...")
    else:
        describer = _model(captioner, device, dtype, max_tokens)
    with progress_bar("needle records") as bar:
        report = build_needles(
            videos,
            output,
            describer,
            settings,
            told,
            retries=retries,
            max_failures=max_failures,
            progress=bar.update,
        )
    if as_json:
        typer.echo(json.dumps({"output": str(output), **report.to_dict()}))
    else:
        _print(report, output)


def _endpoint(
    url: str, model: str | None, key_file: Path | None, timeout: float, workers: int, max_tokens: int
) -> Any:
    from oryx.data.builders.needle import OpenAICaptioner

    key = _read_key(key_file) if key_file is not None else os.environ.get("OPENAI_API_KEY") or None
    captioner = OpenAICaptioner(url, model, key, timeout=timeout, max_tokens=max_tokens, workers=workers)
    captioner.connect()
    return captioner


def _read_key(path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"the key file {path} cannot be read.") from None
    if not key or len(key.split()) > 1:
        raise ConfigError(f"the key file {path} must hold the key and nothing else.")
    return key


def _model(name: str, device: str, dtype: str, max_tokens: int) -> Any:
    from oryx.cli.display import waiting
    from oryx.cli.noise import quiet_transformers

    with waiting(f"loading {name}"):
        from oryx.engine.captioner import ModelCaptioner
        from oryx.loading import load

        quiet_transformers()
        return ModelCaptioner(*load(name, dtype=dtype, device=device), name, max_new_tokens=max_tokens)


def _print(report: NeedleReport, output: Path) -> None:
    from oryx.cli.display import print_rows, scaled
    from oryx.data.builders.needle.folder import RECORDS, SHEET, SUMMARY

    made = ", ".join(f"{reason} {number}" for reason, number in report.faults.items())
    print_rows(
        [
            ("records", f"{report.records} ({report.captions} captions, {report.differences} differences)"),
            ("clips", f"{report.clips} of {report.videos} videos, {report.unsuitable} stretches passed over"),
            ("frames", f"{report.frames:,}, {scaled(report.frame_bytes, 1024, 'B')}"),
            ("answers", f"{report.words:.1f} words, {report.different_answers:.0%} different"),
            ("thrown away", made or "none"),
            ("skipped", f"{len(report.skipped)} records" if report.skipped else "none"),
            ("to read", str(output / RECORDS)),
            ("to look at", str(output / SHEET)),
        ]
    )
    for skip in report.skipped[:_SHOWN]:
        again = "; a larger --count tries it again" if skip["again"] else ""
        complain(f"no record for frame {skip['idx']} of {skip['video']}: {skip['reason']}{again}")
    for name, reason in list(report.unusable.items())[:_SHOWN]:
        complain(f"no clip of '{name}': {reason}")
    more = max(0, len(report.skipped) - _SHOWN) + max(0, len(report.unusable) - _SHOWN)
    if more:
        complain(f"and {more} more, listed in {output / SUMMARY}")
