"""Weight-only quantisation while a model is loaded, layer by layer, so that no full copy is ever in memory.

The language model's linear layers get 8 or 4 bits; its head 8 in both, since every token reads all of it.
Embeddings (looked up, not multiplied), norms, tower, compressor and projector keep the dtype: they are few
bytes, and what the tower gets wrong no later part mends. On a CPU the layers are `QuantizedLinear`s, on CUDA
those of torchao.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers.core_model_loading import ConversionOps
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import get_module_from_name
from transformers.utils.quantization_config import QuantizationConfigMixin, TorchAoConfig

from oryx.config import OryxConfig
from oryx.errors import ConfigError
from oryx.model.quantized import QuantizedLinear
from oryx.processing.weights import BITS, GROUP_SIZE, bits_of, check_quantize

METHOD = "oryx"
WHERE = {"cpu": "nothing to install", "cuda": "oryx-mllm[quantize], for torchao"}


def quantization_options(
    quantize: str | None, device: torch.device, dtype: torch.dtype, config: OryxConfig
) -> dict[str, Any]:
    """What `from_pretrained` needs to quantise while it loads; nothing where `quantize` is None.

    Raises:
        ConfigError: an unknown quantisation, a device or dtype without its kernels, or torchao is missing.
    """
    check_device(quantize, device)
    if quantize is None:
        return {}
    if device.type == "cpu":
        return {"quantization_config": OryxQuantizationConfig(BITS[quantize])}
    if quantize == "int4" and dtype != torch.bfloat16:
        name = str(dtype).removeprefix("torch.")
        raise ConfigError(f"quantize='int4' on {device.type} computes in bfloat16, not in {name}.")
    return {"quantization_config": torchao_config(quantize, config), "device_map": {"": device}}


def check_device(quantize: str | None, device: torch.device) -> None:
    """Refuse what cannot be, before anything is read.

    Raises:
        ConfigError: an unknown quantisation, a device without kernels, or torchao is missing.
    """
    check_quantize(quantize)
    if quantize is None:
        return
    if device.type not in WHERE:
        raise ConfigError(f"quantize={quantize!r} works on {' and '.join(WHERE)}, not on {device.type}.")
    missing = [name for name in ("torchao", "accelerate") if find_spec(name) is None]
    if device.type != "cpu" and missing:
        raise ConfigError(
            f"quantize={quantize!r} on {device.type} needs {' and '.join(missing)}; "
            "install oryx-mllm[quantize]."
        )


def quantized_layers(model: nn.Module, bits: int) -> dict[str, int]:
    """Name -> bits of every layer to quantise: the linear layers of the language model, and its head.

    A head that shares its weight with the embedding stays as it is.
    """
    text: Any = model.get_submodule("language_model")
    head, is_tied = text.get_output_embeddings(), text.config.tie_word_embeddings
    layers: dict[str, int] = {}
    for name, module in text.named_modules(prefix="language_model"):
        if type(module) is not nn.Linear or (module is head and is_tied):
            continue
        layers[name] = 8 if module is head else bits_of((module.out_features, module.in_features), bits)
    return layers


class OryxQuantizationConfig(QuantizationConfigMixin):
    """Ask `from_pretrained` for our layers: `bits` is 8 or 4."""

    def __init__(self, bits: int = 8, **_: Any) -> None:
        self.quant_method: Any = METHOD
        self.bits = bits


class OryxQuantizer(HfQuantizer):
    """Puts `QuantizedLinear`s in place and packs each weight as it comes off the disk."""

    quantization_config: OryxQuantizationConfig

    def _process_model_before_weight_loading(self, model: nn.Module, **_: Any) -> nn.Module:
        for name, bits in quantized_layers(model, self.quantization_config.bits).items():
            old: Any = model.get_submodule(name)
            has_bias, dtype = old.bias is not None, old.weight.dtype
            new = QuantizedLinear(old.in_features, old.out_features, has_bias, bits, dtype)
            model.set_submodule(name, new.requires_grad_(False))
        return model

    def param_needs_quantization(self, model: Any, param_name: str, **_: Any) -> bool:
        module, name = get_module_from_name(model, param_name)
        # A tensor of another shape was left as it is, for transformers to report.
        return isinstance(module, QuantizedLinear) and name == "weight" and not hasattr(module, "misshapen")

    def get_quantize_ops(self) -> ConversionOps:
        return Pack()

    def is_serializable(self) -> bool:
        raise ConfigError(
            "a quantised model is not saved, since its packed layout suits this CPU alone; load the folder "
            "it came from with quantize again, or load it without and save that."
        )

    @property
    def is_trainable(self) -> bool:
        return False


class Pack(ConversionOps):
    """Hands a weight to its layer, which keeps no more than the packed form."""

    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        full_layer_name: str = "",
        model: Any = None,
        missing_keys: set[str] | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        value = next(iter(input_dict.values()))
        value = value[0] if isinstance(value, list) else value
        module, _name = get_module_from_name(model, full_layer_name)
        if value.shape != module.weight.shape:
            module.misshapen = True
            return {full_layer_name: value}
        module.pack(value)
        if missing_keys is not None:
            missing_keys.discard(full_layer_name)
        return {}


def torchao_config(quantize: str, config: OryxConfig) -> TorchAoConfig:
    """The same choice of layers for torchao, which has kernels for CUDA."""
    from torchao.quantization import FqnToConfig, Int4WeightOnlyConfig, Int8WeightOnlyConfig

    from oryx.model.modeling import OryxForConditionalGeneration

    with torch.device("meta"):
        layers = quantized_layers(OryxForConditionalGeneration(config), BITS[quantize])
    kinds = {8: Int8WeightOnlyConfig()}
    if quantize == "int4":
        kinds[4] = Int4WeightOnlyConfig(group_size=GROUP_SIZE, int4_packing_format="tile_packed_to_4d")
    # By the weight's own name: a layer's would take its bias along.
    chosen = FqnToConfig({f"{name}.weight": kinds[bits] for name, bits in layers.items()})
    return TorchAoConfig(chosen, modules_to_not_convert=[])  # without a list it leaves the head out


register_quantization_config(METHOD)(OryxQuantizationConfig)
register_quantizer(METHOD)(OryxQuantizer)
