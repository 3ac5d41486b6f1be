"""`oryx batch`: a file of questions over media to a file of answers."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oryx.cli import options as opt
from oryx.errors import ConfigError

if TYPE_CHECKING:
    from oryx.serving.batch.job import Batch
    from oryx.serving.batch.wiring import Choice

INTERRUPTED = 130


def batch_command(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Questions over media: .jsonl or .parquet, a row each.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Answers, by id: .jsonl or .parquet.")],
    model: opt.Model = "nano",
    engine: Annotated[
        str,
        typer.Option(metavar="auto|vllm|transformers|ray", help="auto is vLLM where it is installed."),
    ] = "auto",
    media_root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Relative paths start here, and nothing outside is read; by default they start beside IN.",
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(metavar="K/N", help="Only every N-th row, from the K-th on; with an OUT of its own."),
    ] = "1/1",
    max_errors: Annotated[
        int | None, typer.Option(min=0, help="End when more rows have errors; by default never.")
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask the rows again that have errors.")
    ] = False,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A key of rows that is not to be read; may be repeated."),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="End an answer after so many; rows may differ.")
    ] = 256,
    temperature: opt.Temperature = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of sampling: the same seed gives the same answers.")] = 0,
    compression: opt.Compression = None,
    detail: opt.Detail = None,
    max_frames: opt.MaxFrames = None,
    fps: opt.Fps = None,
    max_pixels: opt.MaxPixels = None,
    budget: opt.Budget = None,
    focus: opt.Focus = None,
    keyframes: opt.Keyframes = False,
    fast_resize: opt.FastResize = False,
    timestamps: opt.Timestamps = False,
    views: opt.Views = False,
    prompt_style: opt.Style = None,
    max_requests: Annotated[int, typer.Option(min=1, help="Rows that an engine answers at a time.")] = 16,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Rows at work at a time, encoded ones included; by default twice as many."),
    ] = None,
    workers: opt.NumWorkers = None,
    decode_seconds: Annotated[
        float, typer.Option(min=0.1, help="For the media of a row to be decoded; more is an error.")
    ] = 600.0,
    device: opt.EngineDevice = None,
    dtype: opt.Dtype = "auto",
    vision_dtype: opt.EngineVisionDtype = None,
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    vllm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An argument of vLLM: tensor_parallel_size=2; repeatable."),
    ] = None,
    ray_engine: Annotated[
        str, typer.Option(metavar="auto|vllm|transformers", help="What each actor of --engine ray runs.")
    ] = "auto",
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="auto, or HOST:PORT; by default a Ray of its own.")
    ] = None,
    actors: Annotated[
        int | None,
        typer.Option(min=1, help="By default one for each GPU, without GPUs one for each machine."),
    ] = None,
    actor_cpus: Annotated[float, typer.Option(min=0, help="Kept for each actor.")] = 1.0,
    actor_gpus: Annotated[
        float | None, typer.Option(min=0, help="Kept for each actor; by default 1 where there are any.")
    ] = None,
) -> None:
    """Answer a file of questions, each exactly once. The same command goes on where it was stopped.

    oryx batch questions.jsonl answers.jsonl --model THUdyh/Oryx-7B
    """
    from oryx.serving.batch.cluster import Cluster
    from oryx.serving.batch.job import Batch, check_paths
    from oryx.serving.batch.shards import Shard
    from oryx.serving.batch.wiring import Choice, engine_name, read_arguments
    from oryx.serving.engines import choosing

    # Everything that can be wrong with the command is found before the input is read.
    check_paths(source, out)
    frames = (max_frames, fps, max_pixels, focus, keyframes, fast_resize)
    dials = opt.dials(compression, detail, *frames, None, timestamps)
    further = {"budget": budget, "prompt_style": prompt_style and prompt_style.value, "views": views or None}
    dials |= {name: value for name, value in further.items() if value is not None}
    chosen = engine_name(engine)
    own_engine = choosing.engine_name(ray_engine, option="--ray-engine") if chosen == "ray" else chosen
    options = {
        "device": device,
        "vision_dtype": vision_dtype,
        "vision_tower": vision_tower,
        "quantize": quantize,
    }
    _check_options(own_engine, options, vllm or [])
    if media_root is not None and not media_root.is_dir():
        raise ConfigError(f"--media-root {media_root} is no folder.")
    part = Shard.parse(shard)
    from oryx.processing.budget import Budget
    from oryx.serving.batch.places import Places
    from oryx.serving.batch.requests import RowDefaults
    from oryx.serving.engine import Sampling, check_sampling

    Budget.parse(budget)
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature, seed=seed)
    check_sampling(sampling)
    fence = None if media_root is None else media_root.resolve()
    places = Places(fence or source.parent.resolve(), fence)
    choice = Choice(
        model=model,
        defaults=RowDefaults(places, dials, sampling, frozenset(ignore or [])),
        engine=own_engine,
        dtype=dtype,
        max_requests=max_requests,
        num_slots=concurrency or 2 * max_requests,
        num_workers=workers or max(1, min(8, (os.cpu_count() or 2) - 1)),
        engine_options=options,
        vllm_arguments=read_arguments(vllm or []),
        decode_seconds=decode_seconds,
        cluster=Cluster(ray_address, actors, actor_cpus, actor_gpus) if chosen == "ray" else None,
    )
    batch = Batch(
        source,
        out,
        _settings(choice),
        label=f"{choice.model} ({f'{own_engine}, on Ray' if choice.cluster else own_engine})",
        shard=part,
        max_errors=max_errors,
        retry_errors=retry_errors,
    )
    _run(batch, choice)


def _check_options(engine: str, options: dict[str, Any], vllm: list[str]) -> None:
    """Raises ConfigError for options of another engine."""
    from oryx.processing.weights import check_quantize

    given = [name for name, value in options.items() if value is not None]
    if engine == "vllm" and given:
        raise ConfigError(
            f"--{given[0].replace('_', '-')} is of the transformers engine; vLLM has arguments of its own, "
            "as in --vllm quantization=fp8."
        )
    if engine != "vllm" and vllm:
        raise ConfigError("--vllm is of the vLLM engine: give --engine vllm, too.")
    check_quantize(options["quantize"])


def _settings(choice: Choice) -> dict[str, Any]:
    """What answers depend on, by the names of the options that say so."""
    from oryx.cli.forecast import model_folder
    from oryx.loading import resolve_tower
    from oryx.serving.batch.identity import model_identity

    options, defaults = choice.engine_options, choice.defaults
    tower = resolve_tower(options["vision_tower"])
    return {
        "--model": choice.model,
        "weights": model_identity(model_folder(choice.model)),
        "--vision-tower": None if tower is None else model_identity(tower),
        # Which of the GPUs it is makes no difference.
        "--device": (options["device"] or "auto").partition(":")[0],
        "--dtype": choice.dtype,
        "--vision-dtype": options["vision_dtype"],
        "--quantize": options["quantize"],
        "--engine": f"ray of {choice.engine}" if choice.cluster else choice.engine,
        "--vllm": dict(choice.vllm_arguments),
        "--media-root": None if defaults.places.fence is None else str(defaults.places.fence),
        "the folder of relative paths": str(defaults.places.folder),
        "--ignore": sorted(defaults.ignored),
        "--max-tokens": defaults.sampling.max_tokens,
        "--temperature": defaults.sampling.temperature,
        "--seed": defaults.sampling.seed,
        "dials": {
            name: list(value) if isinstance(value, tuple) else value for name, value in defaults.dials.items()
        },
    }


def _run(batch: Batch, choice: Choice) -> None:
    from oryx.cli.display import stderr
    from oryx.cli.noise import quiet_transformers
    from oryx.serving.batch.job import Interrupted, run_batch
    from oryx.serving.batch.progress import BatchProgress
    from oryx.serving.batch.wiring import build_workers

    quiet_transformers()
    stopped = f"oryx: stopped; what is answered is kept in {batch.out}.parts, and the same command goes on."
    try:
        with BatchProgress(stderr()) as progress:

            def leave() -> None:
                progress.close()
                print(stopped, file=sys.stderr, flush=True)
                for child in multiprocessing.active_children():  # of an engine that has only begun to load
                    child.kill()
                os._exit(INTERRUPTED)

            outcome = run_batch(batch, lambda: build_workers(choice), progress, leave)
    except Interrupted:
        print(stopped, file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    errors = f", {outcome.num_errors:,} of them errors" if outcome.num_errors else ""
    rate = f" ({outcome.num_new:,} now, {progress.rate:.3g} a second)" if outcome.num_new else ""
    typer.echo(f"{outcome.num_rows:,} rows are in {batch.out}{errors}{rate}.")
