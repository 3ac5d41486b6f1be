"""Configurations of the vision tower and of the whole model.

Defaults are the published sizes (arXiv 2409.12961): OryxViT behind any causal language model.
"""

# No postponed annotations here: `strict` checks values against real types.
from typing import TYPE_CHECKING, Any, ClassVar

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config

from oryx.errors import ConfigError

POSITION_EMBEDDINGS = ("learned", "rotary", "both")
# What a config class may raise at settings of a wrong name, kind or value.
INVALID_SETTINGS = (TypeError, ValueError, KeyError, StrictDataclassError)


@strict
class OryxVisionConfig(PreTrainedConfig):
    """OryxViT: a pre-norm ViT without class token, final norm or head, at native resolution.

    `position_embedding` is "learned" (the published table of `position_grid_size` squared entries, resized
    bilinearly to each grid, so it tells where in the view a patch lies), "rotary" (axial rotary positions,
    which tell only how patches lie to each other) or "both".
    """

    model_type = "oryx_vision"
    base_config_key = "vision_config"

    hidden_size: int = 1152
    intermediate_size: int = 4304
    num_hidden_layers: int = 27
    num_attention_heads: int = 16
    num_channels: int = 3
    patch_size: int = 16
    position_embedding: str = "learned"
    position_grid_size: int = 128
    rope_theta: float | int = 100.0
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"vision hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}."
            )
        if self.position_embedding not in POSITION_EMBEDDINGS:
            raise ConfigError(
                f"vision position_embedding {self.position_embedding!r} is unknown; "
                f"allowed: {', '.join(POSITION_EMBEDDINGS)}."
            )
        if self.uses_rotation and self.head_dim % 4:
            raise ConfigError(f"rotary positions need a head size divisible by 4, not {self.head_dim}.")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def uses_table(self) -> bool:
        return self.position_embedding in ("learned", "both")

    @property
    def uses_rotation(self) -> bool:
        return self.position_embedding in ("rotary", "both")


@strict
class OryxConfig(PreTrainedConfig):
    """Tower + dynamic compressor + projector + any causal LM.

    `text_config` is a config of `transformers` or its dict with a `model_type`. `image_token_id` marks every
    visual position in `input_ids`; it may lie outside the LM's vocabulary, since it is never looked up.
    """

    model_type = "oryx"
    sub_configs: ClassVar[dict[str, Any]] = {"vision_config": OryxVisionConfig, "text_config": AutoConfig}

    if TYPE_CHECKING:  # dicts go in, configs come out
        vision_config: Any = None
        text_config: Any = None
    else:
        vision_config: dict | PreTrainedConfig | None = None
        text_config: dict | PreTrainedConfig | None = None
    compressor_dim: int = 256
    image_token_id: int | None = None
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if self.vision_config is None:
            self.vision_config = OryxVisionConfig()
        elif isinstance(self.vision_config, dict):
            self.vision_config = OryxVisionConfig(**self.vision_config)
        if self.text_config is None:
            self.text_config = AutoConfig.for_model("qwen2")
        elif isinstance(self.text_config, dict):
            settings = dict(self.text_config)
            self.text_config = AutoConfig.for_model(settings.pop("model_type", "qwen2"), **settings)
        # The language model owns this rule; `transformers` reads it from the outer config.
        self.tie_word_embeddings = bool(self.text_config.tie_word_embeddings)
        super().__post_init__(**kwargs)


class OryxQwenConfig(Qwen2Config):
    """`config.json` of the published checkpoints over Qwen2: the language model's settings plus `mm_*`."""

    model_type = "oryx_qwen"


class OryxLlamaConfig(LlamaConfig):
    """`config.json` of the published checkpoint over Yi-1.5 (Llama): its settings plus `mm_*`."""

    model_type = "oryx_llama"


for _config in (OryxConfig, OryxVisionConfig, OryxQwenConfig, OryxLlamaConfig):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
