"""From a request of vLLM's to patches and placeholders, by the processor that `generate` uses.

A prompt comes in one of two ways. As text that a chat template wrote, with `<image>` and `<video>` in it: it
is read back and encoded as `generate` encodes it. Or as ids that this package encoded (`PLACES` says where
the visuals stand): they are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.processing import (
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdateDetails,
)
from vllm.multimodal.processing.inputs import ProcessorInputs

from oryx.errors import ConfigError, OryxError
from oryx.loading import load_processor, resolve_folder
from oryx.processing.processor import OryxProcessor
from oryx.processing.visuals import EncodedVisual, visual_dials, with_dials
from oryx.serving.vllm.items import MODALITIES, VisualParser
from oryx.serving.vllm.prompt import TARGETS, Prompt

PLACES = "visual_places"
"""Among `mm_processor_kwargs`: see `Prompt`."""
FIELDS = ("patches", "grids", "compressions", "kind", "num_tokens", "note")
"""Of each visual, after its modality's name and "_": what `_tensors` makes."""


class OryxProcessingInfo(BaseProcessingInfo):
    """What vLLM asks about the model's inputs."""

    @cached_property
    def processor(self) -> OryxProcessor:
        """The checkpoint's processor; vLLM's own way to load one knows no published layouts."""
        return load_processor(resolve_folder(self.ctx.model_config.model))

    def get_hf_processor(self, **kwargs: object) -> OryxProcessor:
        return self.processor

    def get_data_parser(self) -> VisualParser:
        return VisualParser(expected_hidden_size=self._get_expected_hidden_size())

    def get_supported_mm_processor_kwargs(self) -> dict[str, set[str]]:
        return {}

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return dict.fromkeys(MODALITIES)

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        """A visual may fill the whole context: how much of it, each request decides."""
        return dict.fromkeys((name for name in MODALITIES if mm_counts.get(name)), seq_len)


@dataclass
class _Place(PromptUpdateDetails):
    """The tokens of a visual, and the lines about it that the prompt needs."""

    note: str = ""


class OryxMultiModalProcessor(BaseMultiModalProcessor[OryxProcessingInfo]):
    """vLLM's steps, with every decision left to `OryxProcessor`."""

    def apply(self, inputs: ProcessorInputs, timing_ctx: Any) -> Any:
        """Ids with placeholders, patches, and where they go.

        Raises:
            ValueError: whatever is wrong with the request, in one sentence, which vLLM hands to the client.
        """
        try:
            return super().apply(self._with_own_dials(inputs), timing_ctx)
        except OryxError as error:
            raise ValueError(str(error)) from None

    def _with_own_dials(self, inputs: ProcessorInputs) -> ProcessorInputs:
        """The same request, all of its dials given to its visuals.

        From then on a visual's tokens depend on nothing but itself, and may be cached by themselves.
        """
        processor = self.info.processor
        kwargs = self.info.ctx.get_merged_mm_kwargs(inputs.hf_processor_mm_kwargs)
        places, style = kwargs.pop(PLACES, None), kwargs.pop("prompt_style", None)
        budget, is_views = kwargs.pop("budget", None), kwargs.pop("views", False)
        if not isinstance(is_views, bool):
            raise ConfigError(f"views must be true or false, not {is_views!r}.")
        dials = processor.check_dials(kwargs)
        visuals: dict[str, list[Any]] = {}
        for name, items in inputs.mm_data_items.items():
            own = [_as_views(visual) for visual in items.get_all()] if is_views else items.get_all()
            visuals[name] = [visual and with_dials(visual, dials) for visual in own]
        prompt = Prompt(processor, inputs.prompt, inputs.mm_data_items.get_all_counts(), places, style)
        if budget is not None:
            if any(visual is None for own in visuals.values() for visual in own):
                raise ConfigError("a budget needs all media themselves: some are named by their uuid alone.")
            in_order = [visuals[name][index] for name, index in prompt.order]
            count = processor.count_note
            spent = processor.planner.spend(in_order, budget, prompt.num_text_ids, count_note=count)
            for (name, index), visual in zip(prompt.order, spent, strict=True):
                visuals[name][index] = visual
        uuids = {
            name: [
                uuid and _with_dials(uuid, name, visual, dials) for uuid, visual in zip(own, visuals[name])
            ]
            for name, own in (inputs.mm_uuid_items or {}).items()
            if name in visuals
        }
        return replace(
            inputs,
            prompt=prompt,
            mm_data_items=self.info.parse_mm_data(visuals, validate=False),
            mm_uuid_items=uuids or None,
            hf_processor_mm_kwargs={},
        )

    def _apply_hf_processor_main(self, mm_items: Any, hf_kwargs: Mapping[str, object]) -> BatchFeature:
        fields: dict[str, list[torch.Tensor]] = {}
        for name, items in mm_items.items():
            for visual in items.get_all():
                encoded = self.info.processor.encode_visual(visual)
                for key, value in _tensors(encoded).items():
                    fields.setdefault(f"{name}_{key}", []).append(value)
        return BatchFeature(fields)

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        # Patches as well: the model moves them to its device chunk by chunk.
        return {
            f"{name}_{key}": MultiModalFieldConfig.batched(name, keep_on_cpu=True)
            for name in MODALITIES
            for key in FIELDS
        }

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, object], out_mm_kwargs: Any
    ) -> Sequence[PromptReplacement]:
        def place(name: str, index: int) -> _Place:
            fields = {key: out_mm_kwargs[name][index][f"{name}_{key}"].data for key in FIELDS}
            num_tokens = int(fields["num_tokens"])
            note = bytes(fields["note"].tolist()).decode()
            return _Place([self.info.processor.image_token_id] * num_tokens, note=note)

        return [
            PromptReplacement(name, [TARGETS[name]], lambda index, name=name: place(name, index))
            for name in mm_items
        ]

    def _apply_prompt_updates(self, token_ids: list[int], mm_prompt_updates: Any) -> Any:
        assert isinstance(token_ids, Prompt)
        notes = {
            name: [updates[0].content.note for updates in own] for name, own in mm_prompt_updates.items()
        }
        ids, places = super()._apply_prompt_updates(token_ids.with_targets(notes), mm_prompt_updates)
        return self._within_vocabulary(ids), places

    def _within_vocabulary(self, ids: list[int]) -> list[int]:
        """The ids, with one that the language model knows where the placeholder lies beyond its vocabulary.

        vLLM counts the ids of a prompt in tables as long as the vocabulary; which positions are visual it has
        from elsewhere. The first id of the text stands in: so the repetition penalty, which only asks whether
        an id has been there, finds none that the text does not have.
        """
        placeholder = self.info.processor.image_token_id
        if placeholder < self.info.ctx.model_config.get_vocab_size():
            return ids
        stand_in = next((token for token in ids if token != placeholder), 0)
        return [stand_in if token == placeholder else token for token in ids]


def _tensors(visual: EncodedVisual) -> dict[str, torch.Tensor]:
    """A visual as vLLM's processes pass it on: (P, C) uint8, (G, 2), (G,), (), () int64, and bytes."""
    if visual.patches is None:
        raise ConfigError("a visual without patches cannot be served.")
    return {
        "patches": torch.from_numpy(visual.patches),
        "grids": torch.tensor([view.grid for view in visual.views]),
        "compressions": torch.tensor([view.compression for view in visual.views]),
        "kind": torch.tensor(visual.kind),
        "num_tokens": torch.tensor(visual.num_tokens),
        "note": torch.tensor(list(visual.note.encode()), dtype=torch.uint8),
    }


def _with_dials(uuid: str, name: str, visual: Any, dials: Mapping[str, Any]) -> str:
    """A client's name for a medium, made the name of its tokens at these dials."""
    if isinstance(visual, EncodedVisual):
        return uuid
    own = visual_dials(with_dials({"type": name}, dials) if visual is None else visual)
    return f"{uuid} {sorted(own.items())}" if own else uuid


def _as_views(visual: Any) -> Any:
    """Frames as views of one scene."""
    frames = visual.get("video") if isinstance(visual, Mapping) else None
    if not isinstance(frames, list | np.ndarray):
        raise ConfigError("views are the frames of a video item: give all pictures of the scene as one.")
    pictures = [Image.fromarray(frame) if isinstance(frame, np.ndarray) else frame for frame in frames]
    kept = {key: value for key, value in visual.items() if key != "video"}
    return {**kept, "type": "views", "views": pictures}
