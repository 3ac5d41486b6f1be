"""The same answers when the language model is shared out among processes, and with an adapter on it."""

import json
import os

import pytest
import torch
from mixed_requests import MAX_TOKENS, mixed_requests
from safetensors.torch import save_file
from vllm_requests import as_request, greedy, opened

import oryx
from oryx.loading import resolve_folder

RANK, ALPHA = 4, 8


def generate(model, processor, requests):
    answers = []
    for parts in requests:
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": parts}], add_generation_prompt=True, tokenize=True, return_dict=True
        )
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        answers.append(ids[0, inputs["input_ids"].shape[1] :].tolist())
    return answers


def on_vllm(llm, processor, requests, **arguments):
    prompts = [as_request(processor, [{"role": "user", "content": parts}]) for parts in requests]
    outputs = llm.generate(prompts, greedy(), use_tqdm=False, **arguments)
    return [output.outputs[0].token_ids for output in outputs]


@pytest.fixture(scope="module")
def nano():
    return oryx.load("nano", dtype="float32")


def test_two_tensor_parallel_processes(nano, settings, monkeypatch):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("needs two CPU cores")
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", f"{cores[0]}|{cores[1]}")
    requests = mixed_requests(30)
    with opened(resolve_folder("nano"), **settings, tensor_parallel_size=2) as llm:
        assert on_vllm(llm, nano[1], requests) == generate(*nano, requests)


def test_an_adapter_on_the_language_model(settings, tmp_path):
    from vllm.lora.request import LoRARequest

    model, processor = oryx.load("nano", dtype="float32")  # of its own: the adapter is added to its weights
    requests = mixed_requests(20)
    plain = generate(model, processor, requests)
    tensors = {}
    torch.manual_seed(0)
    for name, module in model.language_model.named_modules():
        if name.endswith(("q_proj", "v_proj", "down_proj")):
            down = 0.1 * torch.randn(RANK, module.in_features)
            up = 0.1 * torch.randn(module.out_features, RANK)
            stem = f"base_model.model.language_model.{name}"
            tensors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
            with torch.no_grad():
                module.weight += ALPHA / RANK * up @ down
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    targets = ["q_proj", "v_proj", "down_proj"]
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": targets, "bias": "none"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    adapted = generate(model, processor, requests)
    assert adapted != plain

    adapter = LoRARequest("adapter", 1, str(tmp_path))
    with opened(resolve_folder("nano"), **settings, enable_lora=True, max_lora_rank=8) as llm:
        assert on_vllm(llm, processor, requests, lora_request=adapter) == adapted
        assert on_vllm(llm, processor, requests) == plain


def test_prompts_longer_than_a_step_takes(nano, settings, video):
    """A video's tokens are encoded once and prefilled over several steps."""
    parts = [
        {"type": "video", "video": video, "compression": 1},
        {"type": "text", "text": "What comes last?"},
    ]
    requests = [parts, *mixed_requests(10)]
    with opened(resolve_folder("nano"), **settings, max_num_batched_tokens=128) as llm:
        assert on_vllm(llm, nano[1], requests) == generate(*nano, requests)
