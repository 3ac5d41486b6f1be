"""`oryx data correspondence`: multi-view scenes to marked views, and questions about them to records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, cast

import typer

from oryx.cli import options as opt

if TYPE_CHECKING:
    from oryx.data.builders.qa_3d import RecordKind, SceneQuestion


def correspondence_command(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Where marked scenes and records are written."),
    ],
    scenes: Annotated[
        list[Path] | None, typer.Argument(metavar="SCENES", help="Scenes, or folders of scenes.")
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            metavar="auto|masks|boxes|sam2|features",
            help="What tells which object is where: instance masks; depth, poses and 3D boxes; a SAM 2 "
            "tracker; feature tracking. auto: the first of these that a scene has the files for.",
        ),
    ] = "auto",
    objects: Annotated[int, typer.Option(help="Mark at most so many objects; marking all hurts.")] = 5,
    views: Annotated[int, typer.Option(help="Keep at most so many views.")] = 16,
    choose: Annotated[
        str,
        typer.Option(metavar="even|coverage", help="Views: evenly, or those that share the most objects."),
    ] = "even",
    candidates: Annotated[
        int, typer.Option(help="Views to look for objects in, when more than are kept matter.")
    ] = 64,
    min_views: Annotated[int, typer.Option(help="Mark what is seen in at least so many views.")] = 2,
    min_share: Annotated[
        float, typer.Option(help="Share of a view below which an object is not seen there.")
    ] = 0.001,
    exclude: Annotated[
        str, typer.Option(metavar="NAMES", help="Objects never to mark, by name, with commas between.")
    ] = "wall,floor,ceiling",
    mark_size: Annotated[
        int | None, typer.Option(help="Pixels of a dot's diameter; 1/16 of the shorter side if left out.")
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(help="Reduce the longer side of written views to this.")
    ] = None,
    format: Annotated[str, typer.Option(metavar="jpg|png", help="File format of written views.")] = "jpg",
    boxes: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The file of 3D boxes in each scene: boxes.json if left out."),
    ] = None,
    sam2: Annotated[
        str | None, typer.Option(metavar="NAME", help="Weights of a SAM 2 video model: a folder or a hub id.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where SAM 2 runs: cpu, cuda, ...")] = "cpu",
    workers: Annotated[int | None, typer.Option(help="Processes; one for each core if left out.")] = None,
    max_broken: Annotated[int, typer.Option(help="End after more broken scenes than this.")] = 10,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Mark again what was marked with other settings.")
    ] = False,
    scanqa: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A ScanQA file to make records of; may be repeated."),
    ] = None,
    sqa3d: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="An SQA3D file of questions, its annotations beside it; may be repeated."
        ),
    ] = None,
    records: Annotated[
        str,
        typer.Option(
            metavar="auto|train|eval",
            help="Kind of records. auto: train or eval, as the file's name has the word train, val or test.",
        ),
    ] = "auto",
    every: Annotated[
        bool,
        typer.Option("--every", help="Training records for every answer and situation, not the first alone."),
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Mark the same objects in all views of a scene, and make records of questions about the scenes.

    Writes OUTPUT/<scene>/ with views/, marks.json and the contact sheet sheet.jpg, and a JSONL file for each
    file of questions. The same command goes on with a run that was stopped.
    """
    from oryx.cli.display import progress_bar
    from oryx.cli.noise import complain, quiet_transformers
    from oryx.data.builders.correspondence import BatchResult, MarkSettings, find_scenes, mark_scenes
    from oryx.errors import ConfigError
    from oryx.media.parallel import num_cores

    if not (scenes or scanqa or sqa3d):
        raise ConfigError("there is nothing to do; scenes to mark or files of questions are needed.")
    questions = _question_files(scanqa or [], sqa3d or [], output, records)
    settings = MarkSettings(
        source=cast(Any, source),
        objects=objects,
        views=views,
        choose=cast(Any, choose),
        candidates=candidates,
        min_views=min_views,
        min_share=min_share,
        exclude=tuple(name.strip() for name in exclude.split(",") if name.strip()),
        mark_size=mark_size,
        max_side=max_side,
        format=cast(Any, format),
        boxes=boxes,
        sam2=sam2,
        device=device,
    )
    if sam2:
        quiet_transformers()
    done = BatchResult()
    if scenes:
        with progress_bar("marking scenes") as bar:
            done = mark_scenes(
                find_scenes(scenes),
                output,
                settings,
                workers=num_cores() if workers is None else workers,
                max_broken=max_broken,
                overwrite=overwrite,
                report=bar.update,
            )
    for name, problem in done.broken.items():
        complain(f"{name} is skipped: {problem}")
    written = _write_records(questions, output, every)
    if as_json:
        counts: dict[str, Any] = {"marked": done.marked, "kept": done.kept, "broken": done.broken}
        print(json.dumps({"output": str(output), **counts, "records": written}))
        return
    if scenes:
        counted = f"{len(done.marked)} scenes marked, {len(done.kept)} kept, {len(done.broken)} skipped"
        print(f"{counted}: {output}/*/sheet.jpg")
    for entry in written:
        left = (
            f"; {entry['left_out']} questions left out, of scenes without marks" if entry["left_out"] else ""
        )
        print(f"{entry['records']} {entry['kind']} records: {entry['file']}{left}")


class _QuestionFile(NamedTuple):
    path: Path
    read: Callable[[Path], list[SceneQuestion]]
    kind: RecordKind
    records: Path
    """What is written."""


def _question_files(scanqa: list[Path], sqa3d: list[Path], output: Path, asked: str) -> list[_QuestionFile]:
    from oryx.data.builders.qa_3d import read_scanqa, read_sqa3d
    from oryx.errors import ConfigError

    given: list[tuple[Path, Callable[[Path], list[SceneQuestion]]]] = [
        *((path, read_scanqa) for path in scanqa),
        *((path, read_sqa3d) for path in sqa3d),
    ]
    files: dict[Path, _QuestionFile] = {}
    for path, read in given:
        kind = _kind(path, asked)
        records = output / f"{path.stem}.{kind}.jsonl"
        if records in files:
            raise ConfigError(
                f"'{files[records].path}' and '{path}' would both be written to '{records}'; rename one."
            )
        files[records] = _QuestionFile(path, read, kind, records)
    return list(files.values())


def _write_records(files: list[_QuestionFile], output: Path, every: bool) -> list[dict[str, Any]]:
    if not files:
        return []
    from oryx.data.builders.qa_3d import read_marked, write_records

    marked = read_marked(output)
    written = []
    for file in files:
        result = write_records(file.read(file.path), marked, file.records, file.kind, every=every)
        written.append(
            {
                "file": str(result.path),
                "kind": file.kind,
                "records": result.records,
                "left_out": result.left_out,
                "missing_scenes": len(result.missing),
            }
        )
    return written


def _kind(path: Path, asked: str) -> RecordKind:
    from oryx.errors import ConfigError

    kinds: dict[str, Literal["train", "eval"]] = {"train": "train", "val": "eval", "test": "eval"}
    if asked in ("train", "eval"):
        return cast("RecordKind", asked)
    if asked != "auto":
        raise ConfigError(f"--records is {asked!r}; allowed: auto, train, eval.")
    words = re.findall("[a-z]+", path.stem.lower())
    found = {kinds[word] for word in words if word in kinds}
    if len(found) != 1:
        raise ConfigError(
            f"'{path.name}' does not say whether it is for train, val or test; --records train or eval is "
            "needed."
        )
    return found.pop()
