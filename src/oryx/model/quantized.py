"""Linear layers whose weights are stored in 8 or 4 bits and multiplied in the activations' dtype, on a CPU.

Few rows go through the kernels that PyTorch brings for such weights, which are bound by memory; many rows
(a prompt) through a plain product with a block of weights that is restored just for it, which is bound by
arithmetic.

Legend: M rows of activations, K inputs, N outputs, G inputs that share a scale.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oryx.processing.weights import GROUP_SIZE, bits_of

# Up to so many rows the kernel is faster than restoring the weights, measured at Qwen2-7B's sizes.
KERNEL_ROWS = {8: 8, 4: 48}
# Outputs restored at once: small enough for the cache, a multiple of the packed layout.
BLOCK = 512
# Values quantised at once; the larger the temporaries, the larger the holes that they leave in the heap.
PACK_VALUES = 2**20
# No scale is smaller, so that one of a group of zeros stays above zero in float16 too.
SMALLEST = 1e-6


class QuantizedLinear(nn.Module):
    """`nn.Linear` for inference. `weight` is where loading puts the original; `pack` replaces it.

    Attributes:
        packed: (N, K) int8, or (N, K / 2) uint8 in the CPU kernel's own layout.
        scales: (N,), or (K / G, N, 2) scales and zero points; the weight is (q - 8) scale + zero.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool, bits: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.bits = bits_of((out_features, in_features), bits)
        self.weight = nn.Parameter(torch.empty(out_features, in_features, dtype=dtype), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(out_features, dtype=dtype)) if bias else None

    @torch.no_grad()
    def pack(self, weight: Tensor) -> None:
        """Quantise `weight` (N, K), block by block, and forget it."""
        dtype, outputs, inputs = self.weight.dtype, self.out_features, self.in_features
        del self.weight
        # Filled in place: putting pieces together afterwards would take twice the memory.
        if self.bits == 8:
            self.register_buffer("packed", torch.empty(outputs, inputs, dtype=torch.int8))
            self.register_buffer("scales", torch.empty(outputs, dtype=dtype))
        else:
            self.register_buffer("packed", torch.empty(outputs, inputs // 2, dtype=torch.uint8))
            self.register_buffer("scales", torch.empty(inputs // GROUP_SIZE, outputs, 2, dtype=dtype))
        step = max(64, PACK_VALUES // inputs // 64 * 64)
        for begin in range(0, outputs, step):
            rows = slice(begin, min(begin + step, outputs))
            if self.bits == 8:
                self.packed[rows], self.scales[rows] = quantize_int8(weight[rows], dtype)
            else:
                self.packed[rows], self.scales[:, rows] = quantize_int4(weight[rows], dtype)

    def __getattr__(self, name: str) -> Any:
        # Some language models multiply by a layer's weight themselves, or ask for its dtype.
        if name == "weight" and "packed" in self.__dict__.get("_buffers", {}):
            return self.dequantize(0, self.out_features)
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor:
        rows_MK = x.reshape(-1, self.in_features)
        use_kernel = len(rows_MK) <= KERNEL_ROWS[self.bits] or not self._is_known_layout
        out_MN = (self._kernel if use_kernel else self._restored)(rows_MK)
        if self.bias is not None:
            out_MN = out_MN.add_(self.bias)
        return out_MN.view(*x.shape[:-1], self.out_features)

    def _kernel(self, rows_MK: Tensor) -> Tensor:
        rows_MK, scales = rows_MK.contiguous(), self.scales.to(rows_MK.dtype)
        if self.bits == 8:
            return torch.ops.aten._weight_int8pack_mm(rows_MK, self.packed, scales)
        return torch.ops.aten._weight_int4pack_mm_for_cpu(rows_MK, self.packed, GROUP_SIZE, scales)

    def _restored(self, rows_MK: Tensor) -> Tensor:
        out_MN = rows_MK.new_empty(len(rows_MK), self.out_features)
        for begin in range(0, self.out_features, BLOCK):
            end = min(begin + BLOCK, self.out_features)
            if self.bits == 8:  # whole numbers up to 127 are exact in every dtype; the scale can wait
                block = F.linear(rows_MK, self.packed[begin:end].to(rows_MK.dtype))
                torch.mul(block, self.scales[begin:end].to(rows_MK.dtype), out=out_MN[:, begin:end])
            else:
                out_MN[:, begin:end] = F.linear(rows_MK, self.dequantize(begin, end).to(rows_MK.dtype))
        return out_MN

    @property
    def _is_known_layout(self) -> bool:
        return self.bits == 8 or ((rows := packed_rows()) is not None and self.out_features % rows == 0)

    def dequantize(self, begin: int, end: int) -> Tensor:
        """Rows [begin, end) of the weight, in the dtype of the scales."""
        dtype = self.scales.dtype
        if self.bits == 8:
            return self.packed[begin:end].to(dtype).mul_(self.scales[begin:end, None])
        if not self._is_known_layout:
            identity = torch.eye(self.in_features, dtype=dtype)
            return self._kernel(identity).t()[begin:end]
        values = unpack_int4(self.packed[begin:end], packed_rows() or 0).view(torch.int8).sub_(8).to(dtype)
        scales = self.scales[:, begin:end].transpose(0, 1).contiguous()
        values = values.view(end - begin, -1, GROUP_SIZE)
        return values.mul_(scales[..., :1]).add_(scales[..., 1:]).view(end - begin, -1)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, bits={self.bits}"


def quantize_int8(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(N, K) -> int8 (N, K) and a scale for each output (N,) in `dtype`, symmetric."""
    weight = weight.float()
    scales = (weight.abs().amax(1) / 127).clamp_(min=SMALLEST).to(dtype)
    packed = (weight / scales.float()[:, None]).round_().clamp_(-127, 127).to(torch.int8)
    return packed, scales


def quantize_int4(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(N, K) -> packed (N, K / 2), scales and zero points (K / G, N, 2) in `dtype`: 16 steps from a group's
    least to its greatest value."""
    groups = weight.float().view(len(weight), -1, GROUP_SIZE)
    least, greatest = groups.aminmax(dim=-1)
    scale = ((greatest - least) / 15).clamp_(min=SMALLEST)
    scales = torch.stack((scale, least + 8 * scale), dim=-1).to(dtype)
    # Rounded to what is stored first, so that the steps make up for it.
    scale, zero = scales.float().unbind(-1)
    values = (groups - zero[..., None]).div_(scale[..., None]).round_().add_(8).clamp_(0, 15)
    return pack_int4(values.view(weight.shape)), scales.transpose(0, 1)


def pack_int4(values: Tensor) -> Tensor:
    """(N, K) of 0 to 15 -> (N, K / 2) uint8, in the layout of this CPU's kernel."""
    return torch.ops.aten._convert_weight_to_int4pack_for_cpu(values.int(), 1)


def unpack_int4(packed: Tensor, rows: int) -> Tensor:
    """(N, K / 2) -> (N, K) uint8, where a block of `rows` outputs holds, input by input, one byte for each
    pair of outputs half a block apart."""
    blocks = packed.view(-1, packed.shape[1] * 2, rows // 2).transpose(1, 2).contiguous()
    return torch.stack((blocks & 15, blocks >> 4), dim=1).view(-1, packed.shape[1] * 2)


@cache
def packed_rows() -> int | None:
    """Outputs in a block of this CPU's packed layout (it depends on the vector width); None if unknown."""
    values = torch.randint(16, (128, 8), generator=torch.Generator().manual_seed(0))
    packed = pack_int4(values)
    return next((rows for rows in (64, 32) if torch.equal(unpack_int4(packed, rows), values.byte())), None)
