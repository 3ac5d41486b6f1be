"""The language model as the manager drives it, whichever it is, and what it refuses."""

import asyncio

import pytest
import torch
import transformers
from engine_requests import ask, encode, generated, in_engine
from factories import BACKBONES, make_config, make_model, make_processor, make_visual
from transformers import MambaConfig, MambaForCausalLM

from oryx.errors import ConfigError
from oryx.serving.engine import Sampling
from oryx.serving.engines import batcher
from oryx.serving.engines.manager import Decoder, check_batchable
from oryx.serving.engines.transformers import TransformersEngine
from oryx.serving.engines.visual_ids import VisualIds

# Windows shorter than the prompts, and groups of queries that share keys.
SETTINGS = {"gemma2": {"sliding_window": 16}}


def saved(folder, config):
    model, processor = make_model(config), make_processor()
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


@pytest.mark.parametrize("implementation", ["eager", None])
@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "gpt_neox"])
def test_every_backbone_answers_as_in_generate(backbone, implementation, tmp_path):
    model, processor = saved(tmp_path, make_config(backbone, **SETTINGS.get(backbone, {})))
    prompts = [
        encode(processor, "Hello there, who are you and what do you want?"),
        encode(processor, "<image>\nWhat?", make_visual(seed=1)),
        encode(processor, "<image>\nAnd?", make_visual("video", seed=2, compression=4)),
    ]
    sampling = Sampling(max_tokens=16)

    async def ask_all(engine):
        return await asyncio.gather(*(ask(engine, prompt, sampling) for prompt in prompts))

    answers = in_engine(ask_all, model=str(tmp_path), max_batch_tokens=40, attn_implementation=implementation)
    assert [answer[:2] for answer in answers] == [generated(model, processor, p, 16) for p in prompts]


def test_visual_ids_are_looked_up_beside_the_vocabulary():
    model = make_model()
    table = model.get_input_embeddings()
    visuals = VisualIds(table.num_embeddings, 10**6)
    embeds = torch.randn(5, table.embedding_dim)
    run = visuals.add("a", embeds)
    decoder = Decoder(model.language_model, visuals)
    ids = torch.tensor([[7, *run[2:], 8, *run]], dtype=torch.int32)
    with torch.no_grad():
        out = decoder.embed(ids)
        text = table(torch.tensor([[7, 8]]))
        assert torch.equal(decoder.embed(torch.tensor([[7, 8]])), text)
    assert torch.equal(out[0], torch.cat([text[0, :1], embeds[2:], text[0, 1:], embeds]))


def test_language_models_with_a_state_are_refused():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4, "vocab_size": 32}
    with pytest.raises(ConfigError, match="MambaForCausalLM cannot be batched by the transformers engine"):
        check_batchable(MambaForCausalLM(MambaConfig(**sizes)))


def test_an_older_transformers_is_refused(monkeypatch):
    monkeypatch.setattr(transformers, "__version__", "5.18.0")
    with pytest.raises(ConfigError, match=r"needs transformers 5\.19 or newer, not 5\.18\.0"):
        check_batchable(make_model().language_model)


def test_a_cpu_needs_psutil(monkeypatch):
    monkeypatch.setattr(batcher, "find_spec", lambda name: None if name == "psutil" else pytest.fail(name))

    async def start():
        await TransformersEngine("nano", device="cpu").start()

    with pytest.raises(ConfigError, match=r"needs psutil: pip install oryx-mllm\[serve\]"):
        asyncio.run(start())


def test_positions_that_depend_on_the_longest_request_are_refused(tmp_path):
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    saved(tmp_path, make_config(rope_parameters=rope))

    async def start():
        await TransformersEngine(str(tmp_path)).start()

    with pytest.raises(ConfigError, match="would change each other's answers"):
        asyncio.run(start())


def test_a_language_model_that_the_manager_fails_on_is_refused_when_the_engine_starts(tmp_path, capfd):
    """Its layers do not tell a cache of pages which pages. The first request is too late to learn that."""
    saved(tmp_path, make_config("gpt_neox"))

    async def start():
        engine = TransformersEngine(str(tmp_path))
        try:
            await engine.start()
        finally:
            assert engine.num_unfinished == 0
            await engine.stop()

    with pytest.raises(ConfigError, match=r"GPTNeoXForCausalLM cannot be run by the transformers engine"):
        asyncio.run(start())
    assert "Traceback" not in capfd.readouterr().err
