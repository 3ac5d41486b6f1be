"""Recipes one after another, each from the weights of the one before; a chain goes on where it was cut.

    parts: [01_letters.yaml, 02_variety.yaml]     # paths from the chain's file
    output: runs/nano                             # part 01_letters is made in runs/nano/01_letters

Without `output` every part is made where its own recipe says. A part begins from an earlier one where its
`model` names that one's output; one that does not say where its weights are from begins from the part before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from oryx.errors import CheckpointError, ConfigError
from oryx.fields import build
from oryx.training.distributed import World, join_world
from oryx.training.folder import RunFolder
from oryx.training.looking import look_at_data
from oryx.training.planning import ModelPlan, ModelPlanner
from oryx.training.progress import say
from oryx.training.recipe import CHAIN_KEY, Recipe, read_settings
from oryx.training.running import train
from oryx.training.summary import sum_up

_WAYS = ("from", "new", "assemble")
_FIXED = {"output": "give --output DIR", CHAIN_KEY: "edit the chain's file"}


@dataclass(frozen=True, kw_only=True)
class ChainFile:
    """A chain as YAML writes it."""

    parts: tuple[str, ...]
    """Recipes in order, as paths from the chain's file."""
    output: str | None = None
    """Folder of the chain, with one for each part in it; each recipe's own output where left out."""

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("parts is empty; name at least one recipe.")


@dataclass(frozen=True)
class Part:
    """One recipe of a chain."""

    name: str
    """The file's, without its ending."""
    recipe: Recipe
    """With all changes that the chain makes."""
    folder: Path
    """Where it is made."""


@dataclass(frozen=True)
class Chain:
    """Recipes in order."""

    path: Path
    folder: Path
    """Where the page and the picture over all parts go."""
    parts: tuple[Part, ...]


def is_chain(path: str | Path) -> bool:
    """Whether the file is a chain; False if it cannot be read, which reading it as a recipe explains."""
    try:
        return CHAIN_KEY in read_settings(path)[0]
    except ConfigError:
        return False


def load_chain(path: str | Path, output: str | Path | None = None, overrides: Sequence[str] = ()) -> Chain:
    """The chain in `path`, every recipe of it read and checked.

    Args:
        output: folder of the chain, instead of the file's own.
        overrides: "dotted.key=value", applied to every part; outputs and origins of weights cannot be set.

    Raises:
        ConfigError: a part is missing or wrong, or begins from no earlier one.
    """
    path = Path(path)
    for override in overrides:
        _check_override(override)
    settings, where = read_settings(path)
    file = build(ChainFile, settings, where)
    into = output or file.output
    names = [Path(name).stem for name in file.parts]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: two parts are called {name}; give one file another name.")
    parts: list[Part] = []
    folders: dict[str, Path] = {}  # an earlier recipe's own output -> where its part is made
    for name in file.parts:
        part, own_output = _read_part(path.parent / name, parts, folders, into, overrides)
        if part.folder in {earlier.folder for earlier in parts}:
            raise ConfigError(f"{path}: two parts have the output {part.folder}; give each its own.")
        parts.append(part)
        folders[os.path.normpath(own_output or part.folder)] = part.folder
    return Chain(path, Path(into).expanduser() if into else parts[-1].folder, tuple(parts))


def train_chain(
    path: str | Path,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    console: Console | None = None,
) -> Path:
    """Run a chain, or go on with it: finished parts are passed over, an unfinished one goes on.

    Under `torchrun` or `accelerate launch` every process calls this; rank 0 speaks and draws.

    Args:
        path, output, overrides: as `load_chain` takes them.

    Returns:
        The folder of the last part that was run.

    Raises:
        ConfigError: the chain or its data is wrong, or a folder holds something that would be lost.
        OryxError: what `train` raises.
    """
    world = join_world()
    console = (console or Console()) if world.is_main else Console(quiet=True)
    with world.together():
        chain = load_chain(path, output, overrides)
    done = world.on_main(partial(count_finished, chain, world))
    world.on_main(partial(check_ahead, chain, done))
    for number, part in enumerate(chain.parts, start=1):
        title = f"part {number} of {len(chain.parts)}: {part.name}"
        if number <= done:
            say(console, f"{title} is finished in {part.folder}")
            continue
        console.rule(escape(title))
        train(part.recipe, output=part.folder, console=console)
        if not world.on_main(partial(RunFolder(part.folder, world).is_finished, part.recipe)):
            break
        done = number
    if world.is_main:
        sum_up(chain, console)
    return chain.parts[min(done, len(chain.parts) - 1)].folder


def count_finished(chain: Chain, world: World | None = None) -> int:
    """How many parts are finished, which are the first ones.

    Raises:
        ConfigError: a folder holds a run of another recipe, or a later part was made before an earlier one
            was finished, so not from its weights.
    """
    is_finished = [RunFolder(part.folder, world).is_finished(part.recipe) for part in chain.parts]
    done = is_finished.index(False) if False in is_finished else len(is_finished)
    for part in chain.parts[done + 1 :]:
        if (part.folder / "recipe.yaml").is_file():
            raise ConfigError(
                f"{part.folder} holds part {part.name}, but {chain.parts[done].name} before it is not "
                "finished; remove that folder, or choose another --output."
            )
    return done


def check_ahead(chain: Chain, done: int) -> None:
    """Look at the data and plan the models of all parts but the first `done`, which takes seconds.

    What only the hub has is left to the part itself.

    Raises:
        ConfigError: data of a part is missing, or it has settings that do not exist or do not go together.
    """
    planned: dict[str, ModelPlan] = {}
    missing: dict[str, str] = {}  # what is missing -> the first part that needs it
    for part in chain.parts[done:]:
        try:
            for source in look_at_data(part.recipe.data):
                for problem in source.problems:
                    missing.setdefault(f"{source.title} ({problem})", part.name)
            planner = ModelPlanner(planned=planned)
            planned[os.path.normpath(part.folder)] = planner.plan(part.recipe)
        except CheckpointError:
            continue
        except ConfigError as error:
            raise ConfigError(f"part {part.name}: {error}") from None
    if missing:
        named = "; ".join(f"for part {part}, {what}" for what, part in missing.items())
        raise ConfigError(f"data is missing: {named}.")


def _check_override(override: str) -> None:
    key = override.partition("=")[0].strip()
    section, _, rest = key.partition(".")
    if section in _FIXED:
        raise ConfigError(f"--set {override} does not go with a chain; {_FIXED[section]}.")
    if section == "model" and rest.partition(".")[0] in ("", *_WAYS):
        raise ConfigError(f"--set {override} does not go with a chain, whose parts begin from each other.")


def _read_part(
    path: Path,
    earlier: Sequence[Part],
    folders: Mapping[str, Path],
    into: str | Path | None,
    overrides: Sequence[str],
) -> tuple[Part, str | None]:
    """The part, and the output that its recipe names itself."""
    settings, where = read_settings(path, overrides)
    if CHAIN_KEY in settings:
        raise ConfigError(f"{path} is itself a chain; a chain's parts are recipes.")
    own_output = settings.get("output")
    if earlier:
        settings["model"] = _begin_from(settings.get("model"), folders, earlier[-1], path)
    recipe_output = str(Path(into) / path.stem) if into else own_output
    recipe = build(Recipe, {**settings, "output": recipe_output}, where)
    if recipe.output is None:
        raise ConfigError(f"{path}: output is missing; set it there or in the chain, or give --output.")
    return Part(path.stem, recipe, Path(recipe.output).expanduser()), own_output


def _begin_from(model: Any, folders: Mapping[str, Path], before: Part, path: Path) -> Any:
    """The model section with earlier parts' folders in place of their recipes' own outputs."""
    if model is None:
        model = {}
    if not isinstance(model, Mapping):
        return model  # which the recipe refuses
    if all(model.get(way) is None for way in _WAYS):
        return {**model, "from": str(before.folder)}
    moved, found = _move(model, folders)
    if not found:
        raise ConfigError(f"{path}: model begins from no earlier part; name one's output, or leave it out.")
    return moved


def _move(value: Any, folders: Mapping[str, Path]) -> tuple[Any, bool]:
    """`value` with known outputs replaced, and whether there was one."""
    if isinstance(value, str):
        folder = folders.get(os.path.normpath(value)) if value else None
        return (value, False) if folder is None else (str(folder), True)
    if isinstance(value, Mapping):
        moved = {key: _move(item, folders) for key, item in value.items()}
        return {key: item for key, (item, _) in moved.items()}, any(found for _, found in moved.values())
    return value, False
