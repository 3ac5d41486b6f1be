"""The whole model: patches and text in, logits out, over any causal language model of `transformers`.

Legend: B sequences, T text positions, N visuals, G views, P packed patches, V compressed tokens, S visual
positions, E language-model width. The data flows
patches_PC -> features_PD -> tokens_VE -> embeds_SE -> (B, T, E).
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
)
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel

from oryx.config import OryxConfig, OryxVisionConfig
from oryx.errors import AlignmentError, ConfigError, raise_mismatch
from oryx.model.cache_name import CACHE, CACHE_NAMES
from oryx.model.compressor import DynamicCompressor, is_distributed
from oryx.model.loss import IGNORE_INDEX, cross_entropy, supervised_outputs
from oryx.model.projector import Projector
from oryx.model.sampling import PaddedVocabulary
from oryx.model.vision import OryxVisionModel
from oryx.model.visual_encoder import VisualEncoder

if TYPE_CHECKING:
    GenerationMixin: Any  # its methods type `self` as a protocol of their own
else:
    from transformers.generation import GenerationMixin

VISUAL_KEYS = ("patches", "grids", "compressions", "visual_lengths", "visual_kinds")


class OryxForConditionalGeneration(VisualEncoder, PreTrainedModel, GenerationMixin):
    """OryxViT, dynamic compressor, projector and a causal LM that keeps its own head and logit rules."""

    config_class = OryxConfig
    base_model_prefix = "language_model"
    main_input_name = "input_ids"
    input_modalities = ["image", "video", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _no_split_modules = ["Block", "DynamicCompressor", "Projector"]  # noqa: RUF012
    _skip_keys_device_placement = [CACHE]  # noqa: RUF012

    def __init__(self, config: OryxConfig) -> None:
        super().__init__(config)
        self.vision_tower = OryxVisionModel._from_config(config.vision_config)
        self.compressor = DynamicCompressor(config)
        self.projector = Projector(config)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        """`PreTrainedModel.from_pretrained`, where keys that do not fit are an error, not lines in a log.

        Raises:
            CheckpointError: listing keys that are unknown, missing or misshapen.
        """
        kwargs["ignore_mismatched_sizes"] = True  # so that all of them are listed
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
        )
        model, info = loaded
        raise_mismatch(
            pretrained_model_name_or_path,
            unknown=sorted(info["unexpected_keys"]),
            missing=sorted(info["missing_keys"]),
            misshapen=[
                f"{key} {list(found)} instead of {list(expected)}"
                for key, found, expected in sorted(info["mismatched_keys"])
            ],
        )
        return loaded if output_loading_info else model

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Projector):
            for mark in (module.begin, module.newline, module.separator, module.end):
                nn.init.normal_(mark, std=mark.numel() ** -0.5)

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.language_model.set_output_embeddings(new_embeddings)

    def fuse(self, input_ids: Tensor, visual_embeds: Tensor | None, spans: list[int] | None = None) -> Tensor:
        """Text embeddings (B, T, E) with `visual_embeds` (S, E) at the placeholders.

        The placeholder is never looked up, so its id may lie outside the vocabulary. `spans` (N,) lets a
        mismatch name its visual.

        Raises:
            AlignmentError: placeholders and visual embeddings differ in number, or a visual is torn apart.
        """
        is_visual_BT = input_ids == self._placeholder
        embeds_BTE = self.get_input_embeddings()(input_ids.masked_fill(is_visual_BT, 0))
        if visual_embeds is None:
            if is_visual_BT.any():
                raise AlignmentError(
                    f"the text has {int(is_visual_BT.sum())} visual positions, but no visual was given."
                )
            return embeds_BTE
        check_alignment(is_visual_BT, spans or [len(visual_embeds)], exact_runs=spans is not None)
        visual_embeds = visual_embeds.to(embeds_BTE.device, embeds_BTE.dtype)
        return embeds_BTE.masked_scatter(is_visual_BT[..., None], visual_embeds)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        patches: Tensor | None = None,
        grids: Tensor | None = None,
        compressions: Tensor | None = None,
        visual_lengths: Tensor | None = None,
        visual_kinds: Tensor | None = None,
        visual_embeds: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        num_items_in_batch: Tensor | int | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """One step of the language model over text and visuals.

        Args:
            input_ids: (B, T), with `config.image_token_id` at every visual position.
            attention_mask: (B, T). Packed rows carry restarting `position_ids` (B, T) instead.
            cache: keys and values of earlier columns; `past_key_values` is its name in older programs.
            labels: (B, T), -100 where unsupervised; shifted here. While training, logits exist at supervised
                positions only and `out.logits` is None; otherwise they are (B, T, vocab).
            patches: (P, 3 p p) uint8, all views of the batch packed, with `grids` (G, 2) in patches,
                `compressions` (G,), `visual_lengths` (N,) views of each visual and `visual_kinds` (N,).
            visual_embeds: (S, E) instead of `patches`: what `get_visual_embeds` or `oryx.encode` returned.
            num_items_in_batch: what the summed loss is divided by; if None, the number of supervised
                positions.

        Raises:
            AlignmentError: visuals and their placeholders do not belong together.
            ConfigError: packed rows, which a state-space language model cannot tell apart.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise AlignmentError("give exactly one of input_ids and inputs_embeds.")
        if input_ids is not None:
            spans, dummy = None, None
            if patches is not None:
                if visual_embeds is not None:
                    raise AlignmentError("give patches or visual_embeds, not both.")
                visuals = (patches, grids, compressions, visual_lengths, visual_kinds)
                visual_embeds, spans = self.get_visual_embeds(**all_given(visuals))
            elif visual_embeds is None and self.training and is_distributed():
                # Before the text, as on ranks with visuals: collectives must come in one order everywhere.
                dummy = self._dummy_visual()
            inputs_embeds = self.fuse(input_ids, visual_embeds, spans)
            if dummy is not None:
                inputs_embeds = inputs_embeds + dummy.to(inputs_embeds.dtype)
        inputs: dict[str, Any] = {
            "inputs_embeds": inputs_embeds,
            "attention_mask": attention_mask,
            "position_ids": position_ids,
            **kwargs,
        }
        kept = past_key_values if cache is None else cache
        if kept is not None:
            inputs[CACHE] = kept
        is_packed = attention_mask is None and position_ids is not None and kept is None
        if is_packed and getattr(self.language_model, "_is_stateful", False):
            assert position_ids is not None
            self._check_unpacked(position_ids)
        if labels is not None or is_packed:
            # With a cache `transformers` takes a packed row for one sequence, and its samples see each other.
            inputs.setdefault("use_cache", False)
        if labels is None:
            return self.language_model(**inputs, logits_to_keep=logits_to_keep)
        targets_BT = F.pad(labels[:, 1:], (0, 1), value=IGNORE_INDEX)
        if self.training:
            outputs = supervised_outputs(self.language_model, inputs, targets_BT, num_items_in_batch)
            if torch.is_grad_enabled() and not outputs.loss.requires_grad:
                # The batch reached nothing that learns, such as text where only the projector does: its
                # backward pass is empty, where it would end the run.
                outputs.loss.requires_grad_()
            return outputs
        outputs = self.language_model(**inputs)
        outputs.loss = cross_entropy(outputs.logits.flatten(0, 1), targets_BT.flatten(), num_items_in_batch)
        if isinstance(logits_to_keep, Tensor):
            outputs.logits = outputs.logits[:, logits_to_keep]
        elif logits_to_keep:
            outputs.logits = outputs.logits[:, -logits_to_keep:]
        return outputs

    def _check_unpacked(self, position_ids: Tensor) -> None:
        if (position_ids.diff(dim=-1) <= 0).any():
            raise ConfigError(
                f"{type(self.language_model).__name__} carries a state from token to token, so samples "
                "packed into one row would see each other; give each sample a row of its own."
            )

    def _dummy_visual(self) -> Tensor:
        """Zero that touches every vision weight: a rank without a visual must still join its collectives."""
        rows = 1
        patch = torch.zeros(rows, self.vision_tower.patch_embed.proj.in_features, dtype=torch.uint8)
        grids, ones = torch.ones(rows, 2, dtype=torch.long), torch.ones(rows, dtype=torch.long)
        embeds, _ = self.get_visual_embeds(patch, grids, ones, ones, torch.zeros_like(ones))
        return embeds.sum() * 0

    # -- generation ------------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, **kwargs: Any) -> Any:
        """`GenerationMixin.generate`, with the visuals encoded once, however many steps and beams follow."""
        config = kwargs.get("generation_config") or self.generation_config
        if kwargs.get("prefill_chunk_size", getattr(config, "prefill_chunk_size", None)):
            raise ConfigError("prefill_chunk_size is not supported: visuals are placed in one prefill.")
        if "cache_params" in signature(self.language_model.forward).parameters:
            kwargs["use_cache"] = False  # Mamba would take the steps after the first without its state
        given = [kept for name in CACHE_NAMES if (kept := kwargs.pop(name, None)) is not None]
        if given:
            kwargs[CACHE] = given[0]
        if kwargs.get("patches") is not None:
            visuals = all_given(tuple(kwargs.pop(key, None) for key in VISUAL_KEYS))
            kwargs["visual_embeds"], _ = self.get_visual_embeds(**visuals)
        return super().generate(inputs, **kwargs)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, visual_embeds: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Visuals enter with the first step; without a cache, with every step."""
        inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)
        if kwargs.get("is_first_iteration") or not kwargs.get("use_cache", True):
            if visual_embeds is not None and inputs.get("input_ids") is not None:
                # A cache from an earlier turn already holds the first columns, and the visuals in them.
                is_new_BT = input_ids == self._placeholder
                is_new_BT[:, : input_ids.shape[1] - inputs["input_ids"].shape[1]] = False
                visual_embeds = visual_embeds[is_new_BT[input_ids == self._placeholder]]
            inputs["visual_embeds"] = visual_embeds
        return inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Repeat each row, and each row's share of `visual_embeds` (S, E), which has no batch dimension."""
        visual_embeds = model_kwargs.pop("visual_embeds", None)
        if visual_embeds is not None and input_ids is not None and expand_size > 1:
            shares = (input_ids == self._placeholder).sum(1).tolist()
            rows = visual_embeds.split(shares)
            visual_embeds = torch.cat([row for row in rows for _ in range(expand_size)])
        input_ids, model_kwargs = super()._expand_inputs_for_generation(
            expand_size=expand_size,
            is_encoder_decoder=is_encoder_decoder,
            input_ids=input_ids,
            **model_kwargs,
        )
        if visual_embeds is not None:
            model_kwargs["visual_embeds"] = visual_embeds
        return input_ids, model_kwargs

    def _get_logits_processor(self, *args: Any, **kwargs: Any) -> Any:
        """The placeholder may lie outside the vocabulary, where processors that look ids up would fail."""
        processors = super()._get_logits_processor(*args, **kwargs)
        return PaddedVocabulary(processors, self._placeholder)

    @property
    def _placeholder(self) -> int:
        if self.config.image_token_id is None:
            raise ConfigError("config.image_token_id is not set; it is the processor's image_token_id.")
        return self.config.image_token_id


def all_given(visuals: tuple[Tensor | None, ...]) -> dict[str, Any]:
    """The tensors of `VISUAL_KEYS` by name.

    Raises:
        AlignmentError: naming those that are missing.
    """
    missing = [key for key, value in zip(VISUAL_KEYS, visuals, strict=True) if value is None]
    if missing:
        raise AlignmentError(f"patches came without {', '.join(missing)}.")
    return {key: value for key, value in zip(VISUAL_KEYS, visuals, strict=True) if value is not None}


def check_alignment(is_visual_BT: Tensor, spans: list[int], exact_runs: bool) -> None:
    """Every run of placeholders must be filled by whole visuals.

    Args:
        spans: positions of each visual (N,), in order.
        exact_runs: False where `spans` is only a total.
    """
    num_places, num_given = int(is_visual_BT.sum()), sum(spans)
    if num_places != num_given:
        listed = ", ".join(map(str, spans[:8])) + (", ..." if len(spans) > 8 else "")
        raise AlignmentError(
            f"the text has {num_places} visual positions, but {len(spans)} visuals bring {num_given} "
            f"({listed})."
        )
    if not exact_runs:
        return
    # A run ends where the next position is text, or with its row.
    ends_BT = is_visual_BT & ~F.pad(is_visual_BT[:, 1:], (0, 1), value=False)
    filled = is_visual_BT.flatten().cumsum(0)[ends_BT.flatten()].tolist()
    borders, total = [], 0
    for span in spans:
        total += span
        borders.append(total)
    torn = sorted(set(filled) - set(borders))
    if torn:
        visual = next(index for index, border in enumerate(borders) if border > torn[0])
        raise AlignmentError(
            f"visual {visual} needs {spans[visual]} adjoining positions, but a run of placeholders ends "
            f"inside it."
        )


AutoModel.register(OryxVisionConfig, OryxVisionModel, exist_ok=True)
AutoModel.register(OryxConfig, OryxForConditionalGeneration, exist_ok=True)
AutoModelForImageTextToText.register(OryxConfig, OryxForConditionalGeneration, exist_ok=True)
AutoModelForMultimodalLM.register(OryxConfig, OryxForConditionalGeneration, exist_ok=True)

from oryx.model import published  # noqa: E402, F401 (registers the published layouts, which need this class)
