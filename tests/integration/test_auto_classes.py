"""The Auto classes of `transformers` on native and published folders."""

import pytest
import torch
from factories import make_model, make_picture, make_processor
from reference_cases import NAMES, REFERENCE
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoTokenizer,
)

import oryx
from oryx.errors import CheckpointError


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    make_model().save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM])
def test_native(native, auto):
    model = auto.from_pretrained(native)
    assert type(model) is oryx.OryxForConditionalGeneration
    expected = make_model().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_native_config_processor_and_tokenizer(native):
    assert type(AutoConfig.from_pretrained(native)) is oryx.OryxConfig
    processor = AutoProcessor.from_pretrained(native)
    assert type(processor) is oryx.OryxProcessor
    assert processor.rule == make_processor().rule
    assert AutoTokenizer.from_pretrained(native).get_vocab() == processor.tokenizer.get_vocab()


@pytest.mark.parametrize(
    "auto", [AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM]
)
@pytest.mark.parametrize("name", NAMES)
def test_published(name, auto):
    model = auto.from_pretrained(REFERENCE / name, dtype=torch.float32)
    assert type(model) is oryx.OryxForConditionalGeneration
    expected = oryx.load(REFERENCE / name, device="cpu")[0].state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in model.state_dict().items())


def test_published_options():
    model = AutoModelForImageTextToText.from_pretrained(
        REFERENCE / NAMES[0], dtype="bfloat16", attn_implementation="eager"
    )
    assert model.dtype == torch.bfloat16
    assert model.vision_tower.blocks[0].attn.config._attn_implementation == "eager"


@pytest.mark.parametrize("device_map", ["cpu", "auto"])
def test_device_map(native, device_map):
    pytest.importorskip("accelerate")
    model = AutoModelForImageTextToText.from_pretrained(native, device_map=device_map)
    batch = make_processor()(text="<image>", images=[make_picture()])
    with torch.no_grad():
        expected = make_model()(**batch).logits
        torch.testing.assert_close(
            model(**batch.to(model.device)).logits.cpu(), expected, atol=1e-4, rtol=1e-4
        )


def test_keys_that_do_not_fit_are_an_error_here_too(native, tmp_path):
    model = make_model()
    state = {name: tensor for name, tensor in model.state_dict().items() if name != "projector.end"}
    state["projector.begin"] = torch.ones(7)
    model.save_pretrained(tmp_path, state_dict=state)
    sentence = r"missing keys projector\.end; misshapen keys projector\.begin \[7\] instead of \[32\]"
    with pytest.raises(CheckpointError, match=sentence):
        AutoModelForImageTextToText.from_pretrained(tmp_path)
