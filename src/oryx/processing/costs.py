"""What a prompt costs: pure functions over grids and plain numbers of a config. Nothing here needs torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oryx.errors import ConfigError
from oryx.processing.geometry import REGIONS, View

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

_VISION = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_channels")
_TEXT = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


@dataclass(frozen=True)
class VisionSizes:
    """The tower's numbers."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_channels: int
    patch_size: int = 16
    position_grid_size: int = 128
    """Entries along a side of the learned position table; 0 where there is none."""


@dataclass(frozen=True)
class TextSizes:
    """The language model's numbers; its MLP is taken to be gated, as in Qwen2 and Llama."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int
    num_key_value_heads: int
    head_dim: int
    qkv_bias: bool = False
    output_bias: bool = False
    tie_word_embeddings: bool = False


@dataclass(frozen=True)
class ModelSizes:
    """All of a model that its costs depend on."""

    vision: VisionSizes
    text: TextSizes
    compressor_dim: int
    dtype: str = "float32"
    context_length: int | None = None
    """Positions that the language model was made for; None where its config names none."""
    quantize: str | None = None
    """"int8" or "int4" for the language model's linear layers, as in `oryx.load`."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPE_BYTES:
            raise ConfigError(f"dtype {self.dtype!r} is unknown; allowed: auto, {', '.join(DTYPE_BYTES)}.")

    @classmethod
    def from_settings(
        cls, vision: Mapping[str, Any], text: Mapping[str, Any], compressor_dim: int, dtype: str
    ) -> "ModelSizes":
        """From the two inner dicts of a native `config.json`.

        Raises:
            KeyError: a setting is not there.
            TypeError: a setting is not a whole number of at least 1.
        """
        numbers = {name: _whole(name, text[name]) for name in _TEXT}
        context = text.get("max_position_embeddings")
        heads = numbers["num_attention_heads"]
        key_value_heads = _whole("num_key_value_heads", text.get("num_key_value_heads") or heads)
        head_dim = _whole("head_dim", text.get("head_dim") or numbers["hidden_size"] // heads)
        has_table = vision.get("position_embedding", "learned") != "rotary"
        has_bias = bool(text.get("attention_bias"))  # Llama's, on all four; Qwen2 has three, unasked
        return cls(
            VisionSizes(
                **{name: _whole(name, vision[name]) for name in _VISION},
                patch_size=_whole("patch_size", vision.get("patch_size", 16)),
                position_grid_size=_whole("position_grid_size", vision.get("position_grid_size", 128))
                if has_table
                else 0,
            ),
            TextSizes(
                **numbers,
                num_key_value_heads=key_value_heads,
                head_dim=head_dim,
                qkv_bias=has_bias or text.get("model_type") == "qwen2",
                output_bias=has_bias,
                tie_word_embeddings=bool(text.get("tie_word_embeddings")),
            ),
            _whole("compressor_dim", compressor_dim),
            dtype,
            context and _whole("max_position_embeddings", context),
        )


def kv_cache_bytes(num_positions: int, sizes: ModelSizes) -> int:
    """Bytes of keys and values: 2 x layers x key-value heads x head size x bytes of the dtype x positions."""
    text = sizes.text
    values = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * num_positions
    return values * DTYPE_BYTES[sizes.dtype]


def vision_flops(views: Iterable[View], sizes: ModelSizes) -> int:
    """Operations of tower, compressor and projector; a multiply-add is 2, and only matrix products count.

    With P patches of a view, C values in a patch, D tower width, I its MLP's width, L layers, K compressor
    width, V tokens left, E language-model width:

        tower       2 P C D + L (2 P (3 D^2 + D^2 + 2 D I) + 4 P^2 D)     attention never leaves a view
        compressor  2 V D K + 2 P D K + 2 P K + 2 P D                     nothing at ratio 1
        projector   2 V D E + 2 V E^2
    """
    vision, width, dim = sizes.vision, sizes.text.hidden_size, sizes.compressor_dim
    tower_width, layers = vision.hidden_size, vision.num_hidden_layers
    total = 0
    for view in views:
        patches, tokens = view.num_patches, view.token_grid[0] * view.token_grid[1]
        values = vision.num_channels * (view.height // view.grid[0]) * (view.width // view.grid[1])
        linear = 2 * patches * (4 * tower_width**2 + 2 * tower_width * vision.intermediate_size)
        total += 2 * patches * values * tower_width + layers * (linear + 4 * patches**2 * tower_width)
        if REGIONS[view.compression] != (1, 1):
            total += 2 * tokens * tower_width * dim + 2 * patches * (tower_width * dim + dim + tower_width)
        total += 2 * tokens * (tower_width * width + width**2)
    return total


def lm_prefill_flops(num_positions: int, text: TextSizes) -> int:
    """Operations of the language model's first pass; a multiply-add is 2, and only matrix products count.

    With T positions, E width, I width of the gated MLP, L layers, H heads and G key-value heads of size d:

        L (2 T (2 E H d + 2 E G d + 3 E I) + 4 T^2 H d) + 2 E x vocabulary

    Attention is counted as the full square, its masked half too, as FLOP counters do; the head runs at the
    last position only.
    """
    if not num_positions:
        return 0
    width = text.hidden_size
    queries, keys = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    linear = 2 * width * queries + 2 * width * keys + 3 * width * text.intermediate_size
    layer = 2 * num_positions * linear + 4 * num_positions**2 * queries
    return text.num_hidden_layers * layer + 2 * width * text.vocab_size


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value
