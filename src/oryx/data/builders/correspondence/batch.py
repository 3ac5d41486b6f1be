"""Many scenes side by side: resumable, with broken scenes named and skipped up to a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from oryx.data.builders.correspondence.marking import OutputError, check_place, load_sam2, mark_scene
from oryx.data.builders.correspondence.marks import read_marks
from oryx.data.builders.correspondence.scenes import open_scene
from oryx.data.builders.correspondence.settings import MarkSettings
from oryx.data.processes import run_in_processes
from oryx.errors import ConfigError, MediaError
from oryx.locks import take_lock

_LOCK = ".lock"

Report = Callable[[int, int, str], None]
"""(scenes done, scenes in all, name of the last)."""


@dataclass
class BatchResult:
    """What became of the scenes, by name."""

    marked: list[str] = field(default_factory=list)
    """Written now."""
    kept: list[str] = field(default_factory=list)
    """Written before, from the same scene with the same settings."""
    broken: dict[str, str] = field(default_factory=dict)
    """Skipped -> why."""


def mark_scenes(
    scenes: Sequence[str | Path],
    output: str | Path,
    settings: MarkSettings | None = None,
    *,
    workers: int = 1,
    max_broken: int = 10,
    overwrite: bool = False,
    report: Report | None = None,
) -> BatchResult:
    """`mark_scene` of many folders. What was marked from the same scenes with the same settings is kept.

    Args:
        scenes: folders, as `find_scenes` gives them.
        output: where they are written.
        settings: for all of them; the defaults of `MarkSettings` if None.
        workers: processes. A script that asks for more than 1 must keep its own work behind
            `if __name__ == "__main__"`. SAM 2 runs in this process alone.
        max_broken: scenes that may be broken; one more ends the run. What is written by then stays.
        overwrite: mark again what was marked with other settings, or from what is another scene now.
        report: told after each scene.

    Raises:
        ConfigError: too many scenes are broken, `workers` or `max_broken` is out of range, a scene was
            marked otherwise and is not to be overwritten, or another run writes to the output.
        OutputError: the output cannot be written.
    """
    if max_broken < 0:
        raise ConfigError(f"max_broken is {max_broken}; 0 or more is needed.")
    if workers < 1:
        raise ConfigError(f"workers is {workers}; at least 1 is needed.")
    settings, output = settings or MarkSettings(), Path(output)
    is_new = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{output}' cannot be written ({error}).") from None
    lock = take_lock(output / _LOCK, f"another run is writing to {output}; wait for it, or stop it.", 1.0)
    try:
        return _mark_all(list(map(Path, scenes)), output, settings, workers, max_broken, overwrite, report)
    finally:
        if lock is not None:
            (output / _LOCK).unlink(missing_ok=True)
            lock.release()
        if is_new:
            with suppress(OSError):  # it holds something by now, unless all was refused
                output.rmdir()


def _mark_all(
    scenes: Sequence[Path],
    output: Path,
    settings: MarkSettings,
    workers: int,
    max_broken: int,
    overwrite: bool,
    report: Report | None,
) -> BatchResult:
    result = BatchResult()
    todo = []
    for scene in scenes:
        name = scene.resolve().name
        if _is_done(scene, output / name, settings, overwrite):
            result.kept.append(name)
        else:
            todo.append(scene)
    for done, (name, problem) in enumerate(_outcomes(todo, output, settings, workers), start=1):
        if problem is None:
            result.marked.append(name)
        else:
            result.broken[name] = problem
            if len(result.broken) > max_broken:
                listed = " ".join(f"{scene}: {why}" for scene, why in result.broken.items())
                raise ConfigError(
                    f"{len(result.broken)} scenes are broken, more than {max_broken}; the run ends. {listed}"
                )
        if report is not None:
            report(done, len(todo), name)
    return result


def _is_done(scene: Path, folder: Path, settings: MarkSettings, overwrite: bool) -> bool:
    check_place(folder)
    if not folder.exists():
        return False
    hint = "overwrite it (--overwrite) or use another folder."
    try:
        marked = read_marks(folder)
    except ConfigError as error:
        if overwrite:
            return False
        raise ConfigError(f"{str(error).removesuffix('.')}; {hint}") from None
    before, now = dict(marked.settings), settings.to_dict()
    if before != now:
        differing = [key for key in now if before.get(key) != now[key]]
        told = ", ".join(f"{key} {before.get(key)!r}" for key in differing) or "settings that are no more"
        problem = f"with other settings ({told})"
    else:
        try:
            if marked.fingerprint in ("", open_scene(scene).fingerprint()):
                return True
        except (MediaError, ConfigError):  # told when it is marked
            return False
        problem = f"from another scene, or '{scene}' has changed since"
    if not overwrite:
        raise ConfigError(f"'{folder}' was marked {problem}; {hint}")
    return False


def _outcomes(
    scenes: Sequence[Path], output: Path, settings: MarkSettings, workers: int
) -> Iterator[tuple[str, str | None]]:
    """(scene's name, what is wrong with it or None) in the order in which they are done."""
    count = min(workers, len(scenes))
    if scenes and settings.sam2 and settings.source in ("auto", "sam2"):
        load_sam2(settings.sam2, settings.device)  # wrong weights are no scene's fault
        count = 1
    if count <= 1:
        for scene in scenes:
            yield _mark(scene, output, settings)
        return
    jobs = [(scene, output, settings) for scene in scenes]
    yield from run_in_processes(_mark, jobs, count, "marked")


def _mark(scene: Path, output: Path, settings: MarkSettings) -> tuple[str, str | None]:
    name = scene.resolve().name
    try:
        mark_scene(scene, output, settings)
    except OutputError:
        raise
    except (MediaError, ConfigError) as error:
        return name, str(error)
    return name, None
