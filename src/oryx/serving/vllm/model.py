"""The model for vLLM: our tower, compressor and projector before vLLM's own language model.

Legend: P packed patches, G views, N visuals, S visual positions, E language-model width.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from vllm.config import VllmConfig
from vllm.model_executor.models.interfaces import SupportsLoRA, SupportsMultiModal, SupportsPP
from vllm.model_executor.models.module_mapping import MultiModelKeys
from vllm.model_executor.models.utils import AutoWeightsLoader, init_vllm_registered_model, maybe_prefix
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.sequence import IntermediateTensors

from oryx.checkpoints.published import PUBLISHED_TYPES, PublishedCheckpoint
from oryx.loading import resolve_folder
from oryx.model.compressor import DynamicCompressor
from oryx.model.projector import Projector
from oryx.model.vision import OryxVisionModel
from oryx.model.visual_encoder import VisualEncoder
from oryx.processing.memory import CHUNK_PATCHES
from oryx.serving.vllm.dummy import OryxDummyInputs
from oryx.serving.vllm.items import MODALITIES
from oryx.serving.vllm.processing import OryxMultiModalProcessor, OryxProcessingInfo

_MARKERS = {"image": "<image>", "video": "<video>"}


@MULTIMODAL_REGISTRY.register_processor(
    OryxMultiModalProcessor, info=OryxProcessingInfo, dummy_inputs=OryxDummyInputs
)
class OryxForVllm(VisualEncoder, nn.Module, SupportsMultiModal, SupportsLoRA, SupportsPP):
    """Over any causal language model of vLLM's, in parallel as it is; every rank has the whole tower."""

    packed_modules_mapping = {  # noqa: RUF012
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        """What stands for the i-th item in text that no chat template has written."""
        return _MARKERS[modality]

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        model_config = vllm_config.model_config
        self.config = config = model_config.hf_config
        self._published: Path | None = None
        """The folder, if it is in a published layout."""
        if config.model_type in PUBLISHED_TYPES:
            self._published = resolve_folder(model_config.model)
            config = PublishedCheckpoint.open(self._published).config()
        with self._mark_tower_model(vllm_config, set(MODALITIES)):  # type: ignore[operator]
            self.vision_tower = OryxVisionModel._from_config(config.vision_config, dtype=model_config.dtype)
            self.compressor = DynamicCompressor(config)
            self.projector = Projector(config)
        with self._mark_language_model(vllm_config):  # type: ignore[operator]
            text_config = config.text_config
            self.language_model = init_vllm_registered_model(
                vllm_config=vllm_config,
                hf_config=text_config,
                prefix=maybe_prefix(prefix, "language_model"),
                architectures=[MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[text_config.model_type]],
            )
        self._placeholder = MULTIMODAL_REGISTRY.create_processor(model_config).info.processor.image_token_id
        self.make_empty_intermediate_tensors = self.language_model.make_empty_intermediate_tensors

    @torch.inference_mode()
    def embed_multimodal(self, **kwargs: object) -> list[Tensor]:
        """(S, E) of each visual; small ones of many requests in one pass, large ones chunk by chunk.

        Patches come on the CPU, and no more than a chunk of them is on the model's device.
        """
        visuals = [visual for name in _modalities(kwargs) for visual in _items(name, kwargs)]
        if not visuals:
            return []
        patches, grids, compressions, kinds = zip(*visuals)
        embeds, spans = self.get_visual_embeds(
            patches[0] if len(patches) == 1 else torch.cat(patches),  # one may be of hundreds of megabytes
            torch.cat(grids),
            torch.cat(compressions),
            torch.tensor([len(own) for own in grids]),
            torch.stack(kinds),
            chunk_patches=CHUNK_PATCHES,
        )
        return list(embeds.split(spans))

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: object,
    ) -> Tensor | IntermediateTensors:
        """Hidden states of the language model over ids, or over text and visuals as embeddings."""
        if intermediate_tensors is not None:
            inputs_embeds = None
        return self.language_model.model(
            input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds
        )

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """Logits in which the placeholder, which no answer has, is out of the question."""
        logits = self.language_model.compute_logits(hidden_states)
        if logits is not None and self._placeholder < logits.shape[-1]:
            logits[..., self._placeholder] = -torch.inf
        return logits

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Tensors under native names.

        Of a published folder `weights` is not read: its tower may lie in a file that vLLM does not look at.
        """
        if self._published is not None:
            weights = PublishedCheckpoint.open(self._published).state_dict().items()
        return AutoWeightsLoader(self).load_weights(weights)

    def get_mm_mapping(self) -> MultiModelKeys:
        """Which modules LoRA finds where."""
        return MultiModelKeys.from_string_field(
            language_model="language_model",
            connector=["compressor", "projector"],
            tower_model="vision_tower",
        )


def _modalities(kwargs: dict[str, object]) -> list[str]:
    """Those that are there, in the order of their first arguments."""
    return list(dict.fromkeys(name for key in kwargs for name in MODALITIES if key.startswith(f"{name}_")))


def _items(name: str, kwargs: dict[str, Any]) -> Iterable[tuple[Tensor, ...]]:
    """Patches (P, C), grids (G, 2), ratios (G,) and kind () of each visual of a modality."""
    return zip(*(kwargs[f"{name}_{key}"] for key in ("patches", "grids", "compressions", "kind")))
