"""The folder of a run: what it holds, whether it may go on, and writing so that nothing is ever half there.

recipe.yaml          the recipe, all values written out
log.jsonl            one object per log line; `minutes` is the training time so far, lost steps left out
loss.png             the same, drawn, once the run has stopped
checkpoint-N/        the last two states to go on from
config.json, ...     the model and its processor, once the run has stopped
trainer_state.json   steps, and the whole log once more
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import yaml

from oryx.errors import ConfigError, OryxError
from oryx.training.recipe import Recipe

Resume = Literal["auto", "never"]
KEPT_CHECKPOINTS = 2
STATE = "trainer_state.json"
_PREFIX = "checkpoint-"
_STAGING = ".writing"
# Changing these changes nothing about what is learned.
_FREE_KEYS = {"output", "save_every", "log_every", "num_workers", "num_threads", "optim.max_minutes"}


class RunFolder:
    """One run's folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def staging(self) -> Path:
        """Where files are written before they are moved to their place."""
        return self.path / _STAGING

    def open(self, recipe: Recipe, resume: Resume) -> Path | None:
        """Make the folder, or take up the run in it.

        Returns:
            The checkpoint to go on from, or None at the beginning.

        Raises:
            ConfigError: the folder holds something else, another recipe's run, or a run that is finished.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"the output {self.path} is a file; it must be a folder.")
        saved = self.path / "recipe.yaml"
        # A kill may leave the staging folder alone, which is nothing.
        held = {path.name for path in self.path.iterdir()} - {_STAGING} if self.path.is_dir() else set()
        if held:
            if not saved.is_file():
                raise ConfigError(
                    f"the output {self.path} is not empty and holds no run; choose another --output."
                )
            if held - {saved.name}:
                self._check_same(_read_saved(saved), recipe)
            if self._is_finished():
                raise ConfigError(
                    f"the run in {self.path} is finished; choose another --output, or remove it."
                )
            if resume == "never" and self.checkpoints():
                raise ConfigError(
                    f"the output {self.path} holds a run that would be lost; choose another --output."
                )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.staging, ignore_errors=True)
            self.staging.mkdir()
            staged = self.staging / saved.name
            staged.write_text(yaml.safe_dump(recipe.to_dict(), sort_keys=False), encoding="utf-8")
            os.replace(staged, saved)
            self.staging.rmdir()
        except OSError as error:
            raise ConfigError(f"the output {self.path} cannot be written ({error.strerror}).") from None
        checkpoints = self.checkpoints()
        return checkpoints[-1] if checkpoints else None

    def checkpoints(self) -> list[Path]:
        """All checkpoints, the newest last. Each is whole: it was moved here when it was."""
        found = [path for path in self.path.glob(f"{_PREFIX}*") if path.name[len(_PREFIX) :].isdigit()]
        return sorted(found, key=lambda path: int(path.name[len(_PREFIX) :]))

    @contextmanager
    def write(self, what: str) -> Iterator[Path]:
        """A staging folder that is cleared whatever happens; a full disk becomes one sentence.

        Raises:
            OryxError: the disk refused.
        """
        shutil.rmtree(self.staging, ignore_errors=True)
        try:
            self.staging.mkdir(parents=True)
            yield self.staging
        except OSError as error:
            last = self.checkpoints()
            kept = f"{last[-1]} is whole" if last else "there is no checkpoint before it"
            raise OryxError(f"{what} could not be written to {self.path} ({error}); {kept}.") from error
        finally:
            shutil.rmtree(self.staging, ignore_errors=True)

    def keep_checkpoint(self, staged: Path) -> None:
        """Move a finished checkpoint to its place, and drop all but the last two."""
        target = self.path / staged.name
        shutil.rmtree(target, ignore_errors=True)
        os.replace(staged, target)
        for old in self.checkpoints()[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)

    def keep_files(self, staging: Path) -> None:
        """Move files to their places, `config.json` last: a folder with it is a whole model."""
        for file in sorted(staging.iterdir(), key=lambda path: path.name == "config.json"):
            if file.suffix == ".safetensors":  # written for its owner alone
                shutil.copymode(staging / "config.json", file)
            os.replace(file, self.path / file.name)

    def is_finished(self, recipe: Recipe) -> bool:
        """Whether the run of `recipe` was made here to its last step.

        Raises:
            ConfigError: the run here is of another recipe.
        """
        if not self._is_finished():
            return False
        self._check_same(_read_saved(self.path / "recipe.yaml"), recipe)
        return True

    def _is_finished(self) -> bool:
        state = self.path / STATE
        if not state.is_file() or not (self.path / "config.json").is_file():
            return False
        content = json.loads(state.read_text(encoding="utf-8"))
        return content["global_step"] >= content["max_steps"]

    def _check_same(self, saved: Any, recipe: Recipe) -> None:
        then, now = flatten(saved), flatten(recipe.to_dict())
        for key in sorted({*then, *now} - _FREE_KEYS):
            if then.get(key) != now.get(key):
                raise ConfigError(
                    f"the output {self.path} holds a run of another recipe ({key} is {then.get(key)} there "
                    f"and {now.get(key)} here); choose another --output."
                )


def _read_saved(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # YAML's own dates raise ValueError
        raise ConfigError(f"{path} cannot be read as a recipe; choose another --output.") from None


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, for everything that is not itself a section."""
    if not isinstance(settings, dict):
        return {prefix: settings}
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat
