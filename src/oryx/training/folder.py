"""The folder of a run: what it holds, and writing so that nothing is ever half there.

recipe.yaml          the recipe, all values written out
records.sha256       of what records were counted as, and of what samples are drawn with, such as fonts
broken-N.jsonl       records that process N left out, and the batches that lack them
log.jsonl            one object per log line; `minutes` is the training time so far, lost steps left out
loss.png             the same, drawn, once the run has stopped
checkpoint-N/        the last two states to go on from; step.json in it says how many batches a step read
config.json, ...     the model and its processor, once the run has stopped
trainer_state.json   steps, and the whole log once more
.lock                held while a run writes here; the file itself stays
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock
from safetensors import SafetensorError

from oryx.errors import ConfigError, OryxError
from oryx.files import flush
from oryx.locks import PATIENCE_S, take_lock
from oryx.training.distributed import World
from oryx.training.recipe import Recipe
from oryx.training.resuming import (
    ACCUMULATION,
    STEP,
    find_change,
    flatten,
    read_numbers,
    read_saved,
    read_step,
)
from oryx.training.skipping import PREFIX

Resume = Literal["auto", "never"]
KEPT_CHECKPOINTS = 2
STATE = "trainer_state.json"
RECIPE, RECORDS = "recipe.yaml", "records.sha256"
_PREFIX = "checkpoint-"
_STAGING = ".writing"
_LOCK = ".lock"
_SHARED = ".shared"
_OF_DEEPSPEED = "global_step*"
"""Folder in a checkpoint that DeepSpeed wrote."""


class RunFolder:
    """One run's folder. All processes of the run call its methods together; rank 0 makes and moves files."""

    def __init__(self, path: str | Path, world: World | None = None) -> None:
        self.path = Path(path).expanduser()
        self.world = world or World()
        self._lock: FileLock | None = None
        self._step: dict[str, int] = {}

    @property
    def staging(self) -> Path:
        """Where files are written before they are moved to their place."""
        return self.path / _STAGING

    def open(self, recipe: Recipe, resume: Resume, records: str = "") -> Path | None:
        """Make the folder, or take up the run in it, and keep other runs out until `close`.

        Args:
            records: what tells the data from others (`Batches.identity`).

        Returns:
            The checkpoint to go on from, or None at the beginning.

        Raises:
            ConfigError: the folder holds something else, another recipe's run, one of other records, or a run
                that is finished; another run is writing it; or a process sees another folder there.
        """
        checkpoint = self.world.on_main(partial(self._open, recipe, resume, records))
        if self.world.size > 1:
            self._check_shared()
        return checkpoint

    def close(self) -> None:
        """Let other runs in."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _open(self, recipe: Recipe, resume: Resume, records: str) -> Path | None:
        try:
            self._take(recipe, resume, records)
        except OSError as error:
            raise ConfigError(f"the output {self.path} cannot be written ({error.strerror}).") from None
        self._step = {
            "processes": self.world.size,
            "gradient_accumulation": recipe.batch.gradient_accumulation,
        }
        checkpoints = self.checkpoints()
        return checkpoints[-1] if checkpoints else None

    def _check_shared(self) -> None:
        """Every process writes a part of a checkpoint here; one elsewhere would be missed too late."""
        file = self.path / _SHARED
        try:
            token = self.world.on_main(partial(_write_token, file))
        except OSError as error:
            raise ConfigError(f"the output {self.path} cannot be written ({error.strerror}).") from None
        with self.world.together():
            if not _holds(file, token):
                raise ConfigError(
                    f"process {self.world.rank} does not see what process 0 writes to {self.path}; give all "
                    "machines an --output on a disk that they share."
                )
        if self.world.is_main:
            file.unlink(missing_ok=True)

    def _take(self, recipe: Recipe, resume: Resume, records: str) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"the output {self.path} is a file; it must be a folder.")
        saved = self.path / RECIPE
        if self._held() and not saved.is_file():
            raise ConfigError(
                f"the output {self.path} is not empty and holds no run; choose another --output."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self._keep_others_out()
        held = self._held()
        if held:
            if any(name not in (RECIPE, RECORDS) and not name.startswith(PREFIX) for name in held):
                self._check_same(read_saved(saved), recipe)
            if self._is_finished():
                raise ConfigError(
                    f"the run in {self.path} is finished; choose another --output, or remove it."
                )
            if resume == "never" and self.checkpoints():
                raise ConfigError(
                    f"the output {self.path} holds a run that would be lost; choose another --output."
                )
            self._check_records(records)
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir()
        files = {RECIPE: yaml.safe_dump(recipe.to_dict(), sort_keys=False), RECORDS: records}
        for name, text in files.items():
            if text:
                (self.staging / name).write_text(text, encoding="utf-8")
                os.replace(self.staging / name, self.path / name)
        self.staging.rmdir()

    def _held(self) -> set[str]:
        """What is in the folder. What a kill leaves there by itself does not count."""
        if not self.path.is_dir():
            return set()
        return {path.name for path in self.path.iterdir()} - {_STAGING, _LOCK, _SHARED}

    def _keep_others_out(self) -> None:
        """Where no file can be locked, nobody is kept out."""
        if self._lock is not None:
            return
        self._lock = take_lock(
            self.path / _LOCK,
            f"another run is writing {self.path}; let it end, or choose another --output.",
            PATIENCE_S,
        )

    def checkpoints(self) -> list[Path]:
        """All checkpoints, the newest last. Each is whole: it was moved here when it was."""
        found = [path for path in self.path.glob(f"{_PREFIX}*") if path.name[len(_PREFIX) :].isdigit()]
        return sorted(found, key=lambda path: int(path.name[len(_PREFIX) :]))

    @contextmanager
    def write(self, what: str, keep: Callable[[Path], None] | None = None) -> Iterator[Path]:
        """A staging folder that is cleared whatever happens; a full disk becomes one sentence.

        Args:
            what: for that sentence.
            keep: moves what is in the folder to its place, once every process has written its part.

        Raises:
            OryxError: the disk refused.
        """
        self.world.on_main(partial(self._restart_staging, what))
        try:
            problem: Exception | None = None
            try:
                yield self.staging
            except Exception as error:
                problem = self._explain(what, error)
            self.world.agree(problem)
            if keep is not None:
                with self.world.together():
                    self._flush(what)
                self.world.on_main(partial(self._keep, what, keep))
        finally:
            if self.world.is_main:
                shutil.rmtree(self.staging, ignore_errors=True)

    def _restart_staging(self, what: str) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)
        try:
            self.staging.mkdir(parents=True)
        except OSError as error:
            raise self._explain(what, error) from error

    def _flush(self, what: str) -> None:
        """What a network's disk refuses may be known only once it has everything."""
        try:
            flush(self.staging)
        except OSError as error:
            raise self._explain(what, error) from error

    def _keep(self, what: str, keep: Callable[[Path], None]) -> None:
        try:
            keep(self.staging)
        except OSError as error:
            raise self._explain(what, error) from error

    def _explain(self, what: str, error: Exception) -> Exception:
        """One sentence for what a disk refused; any other error as it is."""
        if not _is_refusal(error):
            return error
        last = self.checkpoints()
        kept = f"{last[-1]} is whole" if last else "there is no checkpoint before it"
        reason = " ".join(str(error).split())
        if isinstance(error, RuntimeError):
            reason = "not all of it was taken: is the disk full?"
        sentence = OryxError(f"{what} could not be written to {self.path} ({reason}); {kept}.")
        sentence.__cause__ = error
        return sentence

    def keep_checkpoint(self, staging: Path) -> None:
        """Move the finished checkpoint in `staging` to its place, and drop all but the last two."""
        (staged,) = staging.iterdir()
        (staged / STEP).write_text(json.dumps(self._step), encoding="utf-8")
        _share_weights(staged, like=staged / STEP)
        flush(staged)
        target = self.path / staged.name
        shutil.rmtree(target, ignore_errors=True)
        os.replace(staged, target)
        for old in self.checkpoints()[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)

    def keep_files(self, staging: Path) -> None:
        """Move files to their places, `config.json` last: a folder with it is a whole model."""
        (self.path / "config.json").unlink(missing_ok=True)
        _share_weights(staging, like=staging / "config.json")
        for file in sorted(staging.iterdir(), key=lambda path: path.name == "config.json"):
            target = self.path / file.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(file, target)

    def is_finished(self, recipe: Recipe) -> bool:
        """Whether the run of `recipe` was made here to its last step.

        Another number of processes may have made it, with another accumulation.

        Raises:
            ConfigError: the run here is of another recipe, damaged, or not to be read.
        """
        if not self._is_finished():
            return False
        then, now = read_saved(self.path / RECIPE), flatten(recipe.to_dict())
        by_others = all(read_step(last)[0] != self.world.size for last in self.checkpoints()[-1:])
        self._refuse(find_change(then, now, may_accumulate=by_others), then, now)
        return True

    def _is_finished(self) -> bool:
        state = self.path / STATE
        try:
            if not state.is_file() or not (self.path / "config.json").is_file():
                return False
        except OSError as error:
            raise ConfigError(f"the output {self.path} cannot be read ({error.strerror}).") from None
        step, steps = read_numbers(state, "global_step", "max_steps")
        return step >= steps

    def _check_records(self, records: str) -> None:
        """The order of all records follows from their number and lengths, so a run goes on with these."""
        file = self.path / RECORDS
        if self.checkpoints() and file.is_file() and file.read_text(encoding="utf-8") != records:
            raise ConfigError(
                f"the records have changed since the run in {self.path} began (their number, the length of "
                "some, or the fonts, pictures or rooms that samples are drawn with), so it would repeat some "
                "and leave out others; bring them back, or begin a new --output with model.from: "
                f"{self.checkpoints()[-1]}."
            )

    def _check_same(self, then: dict[str, Any], recipe: Recipe) -> None:
        now = flatten(recipe.to_dict())
        is_product_kept = False
        checkpoints = self.checkpoints()
        if checkpoints:
            # What a step reads depends on the product alone, so a run may go on with fewer or more processes.
            # The recipe in the folder may be of a start that was over before its first checkpoint.
            processes, then[ACCUMULATION] = read_step(checkpoints[-1], then.get(ACCUMULATION, 1))
            if processes != self.world.size and any(checkpoints[-1].glob(_OF_DEEPSPEED)):
                raise ConfigError(
                    f"the run in {self.path} has checkpoints of {processes} processes, which DeepSpeed reads "
                    f"with as many alone, not with {self.world.size}; fsdp2 goes on with fewer or more."
                )
            before, after = processes * then[ACCUMULATION], self.world.size * now[ACCUMULATION]
            is_product_kept = before == after
            if not is_product_kept and processes != self.world.size:
                raise ConfigError(
                    f"the run in {self.path} reads {before} batches a step ({processes} processes), and now "
                    f"{after} ({self.world.size} processes); keep processes x {ACCUMULATION} as it was."
                )
        is_counted = bool(checkpoints) and (self.path / RECORDS).is_file()
        changed = find_change(then, now, may_accumulate=is_product_kept, is_counted=is_counted)
        self._refuse(changed, then, now)

    def _refuse(self, changed: str | None, then: dict[str, Any], now: dict[str, Any]) -> None:
        if changed is not None:
            raise ConfigError(
                f"the output {self.path} holds a run of another recipe ({changed} is {then.get(changed)} "
                f"there and {now.get(changed)} here); choose another --output."
            )


def _write_token(file: Path) -> str:
    token = uuid.uuid4().hex
    file.write_text(token, encoding="utf-8")
    return token


def _holds(file: Path, text: str, patience: float = 10) -> bool:
    """Whether the file holds the text; network file systems take some seconds to tell."""
    until = time.monotonic() + patience
    while True:
        with suppress(OSError):
            if file.read_text(encoding="utf-8") == text:
                return True
        if time.monotonic() > until:
            return False
        time.sleep(0.1)


def _share_weights(folder: Path, like: Path) -> None:
    """safetensors writes files for their owner alone."""
    for file in folder.rglob("*.safetensors"):
        shutil.copymode(like, file)


def _is_refusal(error: Exception) -> bool:
    """Whether a disk refused to write. `torch.save` says so by an error of its zip writer."""
    if isinstance(error, OSError | SafetensorError):
        return True
    return isinstance(error, RuntimeError) and any(
        word in str(error) for word in ("inline_container", "PytorchStreamWriter", "iostream")
    )
