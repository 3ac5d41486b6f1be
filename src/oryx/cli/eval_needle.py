"""`oryx eval needle`: is a picture found in a long video, wherever it is?"""

from __future__ import annotations

import gc
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oryx.cli import options as opt
from oryx.cli.data_haystack import Depths, FrameSize, Lengths, NeedleFile, Source, Trials
from oryx.cli.eval_subject import (
    Address,
    ApiKeyEnv,
    Requests,
    Url,
    UrlModel,
    tell_kept,
    tell_written,
    telling_of_stops,
)
from oryx.cli.noise import complain

if TYPE_CHECKING:
    from oryx.data.builders.haystack.needles import Needles
    from oryx.data.builders.haystack.sources import Haystack
    from oryx.evaluation.endpoint_answers import EndpointAnswerer
    from oryx.evaluation.journal import Journal, Kept
    from oryx.evaluation.needle.evaluate import NeedlePart, NeedleTest
    from oryx.evaluation.needle.report import NeedleModel


def eval_needle_command(
    model: opt.Model = "nano",
    compare: Annotated[
        str | None, typer.Option(metavar="NAME", help="A second model, shown beside the first.")
    ] = None,
    haystack: Source = "drawn",
    needles: NeedleFile = None,
    frames: Lengths = "100,400,1600",
    depths: Depths = "10",
    trials: Trials = 10,
    compression: Annotated[
        int | None,
        typer.Option(metavar="RATIO", help="Patches to a token: 1, 2, 4, 8 or 16.", show_default="16"),
    ] = None,
    max_pixels: opt.MaxPixels = None,
    frame_size: FrameSize = "32x32",
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What is asked; holds {question}, and may hold {frames}.")
    ] = "{question}",
    score: Annotated[
        str, typer.Option(metavar="exact|contains", help="What counts as right; both are in the JSON.")
    ] = "exact",
    max_new_tokens: opt.MaxNewTokens = 24,
    seed: Annotated[int, typer.Option(help="Same seed, same haystack and needles.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for needle.json, .md and .png; the same command goes on where it was cut.",
        ),
    ] = None,
    url: Url = None,
    url_model: UrlModel = None,
    api_key_env: ApiKeyEnv = None,
    requests: Requests = 4,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    as_json: opt.Json = False,
) -> None:
    """Put a needle at every depth of long videos and ask about it. Frames are encoded once a length."""
    from oryx.data.builders.haystack.needles import (
        drawn_needles,
        parse_depths,
        parse_lengths,
        read_needles,
    )
    from oryx.data.builders.haystack.sources import open_haystack
    from oryx.processing.weights import check_quantize

    check_quantize(quantize)
    lengths, places = parse_lengths(frames), parse_depths(depths)
    stack = open_haystack(haystack, seed, *opt.parse_size(frame_size, "frame-size"))
    stack.check(lengths[-1] - 1)
    size = stack.height, stack.width
    chosen = drawn_needles(seed, *size) if needles is None else read_needles(needles, seed, *size)

    from oryx.evaluation.journal import Journal
    from oryx.evaluation.needle.evaluate import NeedleTest, number_needles
    from oryx.evaluation.needle.report import (
        FILES,
        NeedlePage,
        cost_table,
        gain_table,
        save_page,
        share_table,
    )
    from oryx.evaluation.needle.trials import RATIO
    from oryx.evaluation.output import (
        check_output,
        command_line,
        device_name,
        hash_files,
        hash_model,
        identity_of,
    )
    from oryx.loading import resolve_folder

    test = NeedleTest(
        frames=lengths,
        depths=places,
        trials=trials,
        compression=RATIO if compression is None else compression,
        max_pixels=max_pixels,
        prompt=prompt,
        score=score,
        max_new_tokens=max_new_tokens,
    )
    # Everything that can be refused is refused before hours of work.
    address = Address(url, url_model, api_key_env, requests)
    weights = opt.weights(model, vision_tower, quantize, dtype)
    if url is None:
        address.check_unused()
        names = [model] if compare is None else [model, compare]
        folders = [resolve_folder(name) for name in names]
        towers = _towers(folders, vision_tower)
        for name, folder, tower in zip(names, folders, towers, strict=True):
            _check_room(name, folder, tower, stack, chosen, test)
        hashes = [hash_model(folder, tower) for folder, tower in zip(folders, towers, strict=True)]
        identities = [identity_of(own) for own in hashes]
    else:
        local = {**weights, "--device": device, "--compare": compare}
        remote = address.connect(local, {"--max-pixels": max_pixels, "--compression": compression})
        identities = [identity_of(remote.facts)]
    has_dials = url is None or remote.is_oryx
    given = {
        **(weights if url is None else address.options),
        "--compare": compare,
        "--haystack": haystack,
        "--needles": needles,
        "--frames": frames,
        "--depths": depths,
        "--trials": trials,
        "--compression": test.compression if has_dials else None,
        "--max-pixels": max_pixels,
        "--frame-size": frame_size if haystack == "drawn" else None,
        "--prompt": prompt,
        "--score": score,
        "--max-new-tokens": max_new_tokens,
        "--seed": seed,
    }
    command = command_line("needle", given)
    where = None if url is not None else device_name(device)
    needles_sha256, haystack_sha256 = number_needles(chosen, test)[1], hash_files(stack.files)
    conditions = {"device": where, "haystack_sha256": haystack_sha256, "needles_sha256": needles_sha256}
    if output is not None:
        check_output(output, FILES, command, *identities, conditions=conditions)
    journal = Journal(output, "needle", command, conditions, complain)

    def show(one: NeedleModel) -> NeedleModel:
        if not as_json:
            typer.echo(f"{one.model}\n\n{share_table(one.result, test)}\n{cost_table(one.result)}")
        return one

    measured: list[NeedleModel] = []
    with telling_of_stops(journal):
        if url is not None:
            measured.append(show(_measure_remote(remote, stack, chosen, test, journal)))
        else:
            for name, folder, tower, own in zip(names, folders, towers, hashes, strict=True):
                how = {"dtype": dtype, "device": device, "vision_tower": tower, "quantize": quantize}
                measured.append(show(_measure(name, folder, own, how, stack, chosen, test, journal)))
    shown = "drawn" if needles is None else str(needles)
    page = NeedlePage(
        test,
        stack.name,
        shown,
        seed,
        command,
        tuple(measured),
        needles_sha256,
        haystack_sha256,
        has_dials,
    )
    # Printed first: a disk that is full by now must not take the work with it.
    if as_json:
        typer.echo(json.dumps(page.to_dict()))
    elif compare is not None:
        typer.echo(f"{model} over {compare}\n\n{gain_table(page.gains())}")
    if output is not None:
        tell_written(save_page(page, output))
    journal.remove()


def _towers(folders: list[Path], vision_tower: Path | None) -> list[Path | None]:
    """The tower for each model: of two, a native one holds its own."""
    from oryx.checkpoints.published import PUBLISHED_TYPES
    from oryx.json_file import read_json

    published = [read_json(folder / "config.json").get("model_type") in PUBLISHED_TYPES for folder in folders]
    return [vision_tower if own or not any(published) else None for own in published]


def _check_room(
    name: str, folder: Path, tower: Path | None, haystack: Haystack, needles: Needles, test: NeedleTest
) -> None:
    """Refuse lengths that a model does not read, by its config: weights stay on disk."""
    from oryx.cli.forecast import read_any_config
    from oryx.errors import ConfigError
    from oryx.evaluation.needle.evaluate import check_room
    from oryx.loading import load_processor
    from oryx.processing.context import context_limit

    limit = context_limit(read_any_config(folder, tower).text_config)
    try:
        check_room(load_processor(folder), limit, haystack, needles, test)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _measure_remote(
    remote: EndpointAnswerer, haystack: Haystack, needles: Needles, test: NeedleTest, journal: Journal
) -> NeedleModel:
    """The model behind an address on all lengths; answers that are kept are not asked for again."""
    from oryx.cli.display import progress_bar
    from oryx.evaluation.needle.endpoint import measure_needle
    from oryx.evaluation.needle.report import NeedleModel

    kept = journal.of(remote.facts)
    tell_kept(len(kept), "answers")
    with progress_bar("needles") as bar:

        def tell(what: str, done: int, total: int) -> None:
            bar.update(done, total, what)

        result = measure_needle(remote, haystack, needles, test, tell, kept)
    return NeedleModel(**remote.facts, result=result)


def _measure(
    name: str,
    folder: Path,
    hashes: dict[str, Any],
    how: dict[str, Any],
    haystack: Haystack,
    needles: Needles,
    test: NeedleTest,
    journal: Journal,
) -> NeedleModel:
    """One model on all lengths, those that are kept aside. It is gone from memory afterwards."""
    from oryx.cli.display import progress_bar
    from oryx.evaluation.needle.evaluate import NeedleResult, evaluate_needle
    from oryx.evaluation.needle.report import NeedleModel
    from oryx.evaluation.output import identity_of, model_facts
    from oryx.loading import load

    before = journal.before(identity_of(hashes))
    done = [] if before is None else _parts(before[1])
    if done:
        lengths = " and ".join(str(part.cost.frames) for part in done)
        typer.echo(f"{name}: videos of {lengths} frames were measured before.", err=True)
    if before is not None and {part.cost.frames for part in done} >= set(test.frames):
        return NeedleModel(**{**before[0], "model": name}, result=NeedleResult.of(test, done))
    loaded, processor = load(folder, **how)
    facts = model_facts(name, hashes, loaded)
    kept = journal.of(facts)

    def keep(part: NeedlePart) -> None:
        kept.add(("length", part.cost.frames), asdict(part))

    with progress_bar("needles") as bar:

        def tell(what: str, done: int, total: int) -> None:
            bar.update(done, total, f"{name}: {what}")

        result = evaluate_needle(loaded, processor, haystack, needles, test, tell, _parts(kept), keep)
    del loaded, processor
    gc.collect()  # models have cycles; a second one must not lie beside the first
    return NeedleModel(**facts, result=result)


def _parts(kept: Kept) -> list[NeedlePart]:
    """The lengths that are kept."""
    from oryx.errors import ConfigError
    from oryx.evaluation.needle.evaluate import NeedleAnswer, NeedleCost, NeedlePart

    try:
        return [
            NeedlePart(NeedleCost(**part["cost"]), [NeedleAnswer(**answer) for answer in part["answers"]])
            for part in kept.values()
        ]
    except (KeyError, TypeError):
        raise ConfigError(f"{kept.path} cannot be read; delete it, or choose another --output.") from None
