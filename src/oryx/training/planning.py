"""What model a recipe would train, from configs alone: weights, hub and unfinished runs are not needed.

A folder that is not there yet is what a recipe before this one makes: an earlier part of the chain, or a
recipe beside this one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oryx.checkpoints.parts import open_language_model, open_part, open_tower
from oryx.config import OryxConfig
from oryx.errors import CheckpointError, ConfigError
from oryx.loading import resolve_folder
from oryx.processing.chat import check_prompt_style
from oryx.processing.geometry import ResizeRule
from oryx.processing.settings import processor_settings
from oryx.training.assembling import changed_rule
from oryx.training.backbone import read_text_config
from oryx.training.building import changed_config, check_patch_size, check_processor_keys, new_config
from oryx.training.growing import count_words, grown_config
from oryx.training.known import known_text_config, known_tower_config
from oryx.training.recipe import Recipe, load_recipe
from oryx.training.sections.assemble import NEW, AssembleSection


@dataclass(frozen=True)
class ModelPlan:
    """The model of a recipe, and where its sizes are from."""

    config: OryxConfig
    rule: dict[str, int]
    """Settings of the processor's resize rule that differ from the published one."""
    origins: tuple[str, ...] = ()
    """Sentences on the parts that are not there yet."""


class ModelPlanner:
    """Plans models of recipes.

    Args:
        near: file of the recipe, beside which the recipes of earlier runs may lie.
        planned: folder -> the model that an earlier part of a chain leaves there.
    """

    def __init__(self, near: Path | None = None, planned: Mapping[str, ModelPlan] | None = None) -> None:
        self.near = near
        self.planned = dict(planned or {})
        self._open: list[Path] = []  # recipes whose plan is not made yet

    def plan(self, recipe: Recipe) -> ModelPlan:
        """The recipe's model.

        Raises:
            ConfigError: settings that do not exist or do not go together.
            CheckpointError: a source that is neither there nor made by a recipe that is.
        """
        section = recipe.model
        check_processor_keys(section.processor)
        check_prompt_style(section.processor.get("prompt_style", "train"))
        if section.new is not None:
            config, processor = new_config(section)
            return ModelPlan(config, processor.resize_rule)
        plan = self._whole(section.from_) if section.from_ else self._assembled(section.assemble)
        config = changed_config(plan.config, section.vision) if section.vision else plan.config
        if section.grow is not None:
            config = grown_config(config, section.grow)
            if section.grow.spelling_samples is not None:
                config.text_config.vocab_size = count_words(section.grow.spelling_samples)
        rule = changed_rule(section.processor, plan.rule)
        check_patch_size(config.vision_config, ResizeRule.from_dict(rule).patch_size)
        return replace(plan, config=config, rule=rule)

    def _whole(self, name: str) -> ModelPlan:
        """The model that `from`, or a part of an assembled model, names."""
        found = self._to_come(name)
        if found is not None:
            return found
        folder = resolve_local(name)
        part = open_part(folder, "compressor")
        rule = processor_settings(folder).get("resize_rule") or {} if part.folder else {}
        return ModelPlan(part.config, rule)

    def _to_come(self, name: str) -> ModelPlan | None:
        """The model that a recipe will leave in a folder."""
        folder = os.path.normpath(name)
        if folder in self.planned:
            return replace(self.planned[folder], origins=(f"{name} is made by a part before this one",))
        if self.near is None or (Path(name) / "config.json").is_file():
            return None
        for file in _recipes_near(self.near):
            recipe = _try_recipe(file)
            if recipe is not None and recipe.output and os.path.normpath(recipe.output) == folder:
                if file in self._open:
                    raise ConfigError(f"{file} begins from what it makes itself, {name}.")
                self._open.append(file)
                plan = self.plan(recipe)
                self._open.pop()
                return replace(plan, origins=(f"{name} is to be made by {file}",))
        return None

    def _assembled(self, section: AssembleSection | None) -> ModelPlan:
        assert section is not None
        tower, rule, origins = self._tower(section)
        text, of_text = self._text(section.language_model)
        dim = section.compressor_dim
        if section.compressor != NEW:
            dim = self._whole(section.compressor).config.compressor_dim
        config = OryxConfig(vision_config=tower, text_config=text, compressor_dim=dim)
        return ModelPlan(config, rule, tuple(dict.fromkeys((*origins, *of_text))))

    def _tower(self, section: AssembleSection) -> tuple[Any, dict[str, int], tuple[str, ...]]:
        name = section.vision_tower
        found = self._to_come(name)
        if found is not None:
            return found.config.vision_config, found.rule, found.origins
        known = None if Path(name).exists() else known_tower_config(name, section.vision)
        if known is not None:
            return known, {}, (f"the sizes of {name} are known; only the run itself needs its files",)
        path = Path(name).expanduser()
        try:
            part = open_tower(path if path.exists() else resolve_local(name), section.vision)
        except ConfigError as error:
            raise ConfigError(f"model.assemble.vision: {error}") from None
        rule = processor_settings(part.folder).get("resize_rule") or {} if part.folder else {}
        return part.config, rule, ()

    def _text(self, name: str) -> tuple[Any, tuple[str, ...]]:
        found = self._to_come(name)
        if found is not None:
            return found.config.text_config, found.origins
        known = None if Path(name).exists() else known_text_config(name)
        if known is not None:
            return known, (f"the sizes of {name} are known; only the run itself needs its files",)
        folder = resolve_local(name)
        part = open_language_model(folder)
        return (part.config if part else read_text_config(folder)), ()


def resolve_local(name: str) -> Path:
    """The folder of a name, without asking the hub: a folder, "nano", or what the hub's cache holds.

    Raises:
        CheckpointError: it is not on this machine.
    """
    if name == "nano" or Path(name).expanduser().exists():
        return resolve_folder(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except Exception:  # the hub's client raises a dozen unrelated types
        raise CheckpointError(f"{name} is not on this machine, and no recipe near makes it.") from None


def _recipes_near(file: Path) -> list[Path]:
    """Beside the file, in the folder above, and in the folders of both: a chain may have one for a stage."""
    folder = file.parent
    found = [*folder.glob("*.yaml"), *folder.glob("*/*.yaml"), *folder.parent.glob("*.yaml")]
    return sorted({*found, *folder.parent.glob("*/*.yaml")})


def _try_recipe(file: Path) -> Recipe | None:
    try:
        return load_recipe(file)
    except ConfigError:
        return None
