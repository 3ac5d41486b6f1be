"""What the CPU is said to do fast."""

import pytest
import torch

from oryx.model import cpu


@pytest.mark.parametrize(
    ("machine", "avx512", "amx", "is_fast"),
    [
        ("x86_64", False, False, False),  # AVX512 alone: oneDNN says yes, and is slow
        ("x86_64", True, False, True),
        ("AMD64", False, True, True),
        ("x86_64", None, None, False),  # a torch without these questions
        ("aarch64", False, False, True),  # elsewhere oneDNN's own answer counts
    ],
)
def test_bfloat16_is_fast_where_the_cpu_multiplies_it(monkeypatch, machine, avx512, amx, is_fast):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(cpu, "machine", lambda: machine)
    for name, answer in (("_is_avx512_bf16_supported", avx512), ("_is_amx_tile_supported", amx)):
        if answer is None:
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer, raising=False)
    assert cpu.multiplies_bfloat16() is is_fast
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert cpu.multiplies_bfloat16() is False


def test_int8_products_need_x86_with_vnni(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(cpu, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)
    assert cpu.multiplies_int8() is True
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert cpu.multiplies_int8() is False
    monkeypatch.delattr(torch.cpu, "_is_vnni_supported")
    assert cpu.multiplies_int8() is False
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)
    monkeypatch.setattr(cpu, "machine", lambda: "aarch64")
    assert cpu.multiplies_int8() is False
