"""Models put together from parts: each tensor from where the recipe says, and sources that cannot be."""

import json
import shutil

import pytest
import torch
from factories import PATCH, RULE, make_config, make_model, make_processor, make_text_config, make_tokenizer
from reference_cases import REFERENCE
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, SiglipVisionConfig, SiglipVisionModel

import oryx
from oryx.errors import CheckpointError, ConfigError
from oryx.training.assembling import assemble
from oryx.training.backbone import MARKERS
from oryx.training.building import build_model
from oryx.training.recipe import load_recipe
from oryx.training.sections.assemble import AssembleSection

VISION = {"patch_size": PATCH, "position_grid_size": 8}
SETTINGS = {"resize_rule": RULE, "system_prompt": ""}


def save_language_model(folder, model_type="qwen2", tokenizer=None, **settings):
    torch.manual_seed(3)
    text = make_text_config(model_type, **settings)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(text.pop("model_type"), **text))
    model.save_pretrained(folder)
    (tokenizer or make_tokenizer()).save_pretrained(folder)
    return model.state_dict()


@pytest.fixture
def siglip(tmp_path):
    torch.manual_seed(2)
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = SiglipVisionConfig(**sizes, image_size=20, patch_size=PATCH - 1)
    SiglipVisionModel(config).save_pretrained(tmp_path / "siglip")
    return tmp_path / "siglip"


@pytest.fixture
def language_model(tmp_path):
    save_language_model(tmp_path / "lm")
    return tmp_path / "lm"


@pytest.fixture
def model_folder(tmp_path):
    """A native Oryx folder."""
    model, processor = make_model(seed=5), make_processor(prompt_style="eval", system_prompt="Be brief.")
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def parts(siglip, language_model):
    """The section of a model from SigLIP and a language model, as keywords."""
    return {"vision_tower": str(siglip), "language_model": str(language_model), "vision": VISION}


def put_together(parts, settings=SETTINGS, seed=0):
    return assemble(AssembleSection(compressor_dim=16, **parts), settings, seed)


def part(state, name):
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture
def quiet():
    """SigLIP's head is left out with a warning, which tests of SigLIP look at."""
    with pytest.warns(UserWarning, match="left out"):
        yield


@pytest.mark.usefixtures("quiet")
class TestFromSiglip:
    def test_the_language_model_keeps_every_weight(self, parts, language_model):
        model, processor = put_together(parts)
        expected = AutoModelForCausalLM.from_pretrained(language_model).state_dict()
        assert same(part(model.state_dict(), "language_model"), expected)
        assert model.dtype == torch.float32
        assert model.config.image_token_id == processor.image_token_id
        end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
        assert model.generation_config.eos_token_id == model.config.text_config.eos_token_id == end

    def test_what_is_new_begins_as_in_the_reference(self, parts):
        model, _ = put_together(parts)
        for layer in (model.compressor.query, model.compressor.key, model.projector.fc1, model.projector.fc2):
            bound = layer.in_features**-0.5
            for tensor in (layer.weight, layer.bias):
                assert tensor.abs().max() <= bound
            assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
        marks = torch.cat([model.projector.begin, model.projector.newline, model.projector.end])
        assert marks.std().item() == pytest.approx(32**-0.5, rel=0.3)

    def test_the_seed_makes_what_is_new_and_nothing_else(self, parts):
        torch.manual_seed(11)
        first, _ = put_together(parts, seed=1)
        drawn = torch.rand(1)
        other, _ = put_together(parts, seed=2)
        again, _ = put_together(parts, seed=1)
        assert same(first.state_dict(), again.state_dict())
        for name in ("compressor", "projector"):
            assert not same(part(first.state_dict(), name), part(other.state_dict(), name))
        for name in ("vision_tower", "language_model"):
            assert same(part(first.state_dict(), name), part(other.state_dict(), name))
        torch.manual_seed(11)
        assert torch.equal(drawn, torch.rand(1))

    @pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": True}])
    @pytest.mark.parametrize("model_type", ["qwen2", "llama", "gpt_neox"])
    def test_any_language_model_saves_loads_and_answers(self, parts, tmp_path, model_type, settings):
        save_language_model(tmp_path / "lm", model_type, **settings)
        model, processor = put_together(parts)
        model.save_pretrained(tmp_path / "out")
        processor.save_pretrained(tmp_path / "out")
        loaded, same_processor = oryx.load(tmp_path / "out")
        assert same(model.state_dict(), loaded.state_dict())
        inputs = same_processor(text="<image>\nHi", images=[_white()])
        assert torch.equal(
            model.generate(**inputs, max_new_tokens=3), loaded.generate(**inputs, max_new_tokens=3)
        )

    def test_gradients_reach_every_part(self, parts):
        model, processor = put_together(parts)
        batch = processor.encode_conversation(
            [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A."}],
            [{"type": "image", "image": _white(), "compression": 4}],
        )
        model.train()(**batch).loss.backward()
        without = {name for name, p in model.named_parameters() if p.grad is None}
        assert without == set()

    def test_the_prompt_is_the_published_one_unless_the_recipe_says_otherwise(self, parts):
        _, processor = put_together(parts, {"resize_rule": RULE})
        assert processor.system_prompt == "You are a helpful assistant."
        assert processor.prompt_style == "train"
        assert put_together(parts, SETTINGS)[1].system_prompt == ""

    def test_markers_that_a_tokenizer_lacks_are_added_with_the_mean_of_all_words(self, parts, tmp_path):
        tokenizer = make_tokenizer()
        text = tokenizer.backend_tokenizer.to_str().replace("<|im_", "<|xx_")
        (tmp_path / "lm" / "tokenizer.json").write_text(text)
        settings = json.loads((tmp_path / "lm" / "tokenizer_config.json").read_text())
        plain = {key: value for key, value in settings.items() if "special" not in key and key != "eos_token"}
        (tmp_path / "lm" / "tokenizer_config.json").write_text(json.dumps(plain))
        before = AutoModelForCausalLM.from_pretrained(tmp_path / "lm").get_input_embeddings().weight
        with pytest.warns(UserWarning, match=r"lacked <\|im_start\|> and <\|im_end\|>, which were added"):
            model, processor = put_together(parts)
        vocabulary = processor.tokenizer.get_vocab()
        table = model.get_input_embeddings().weight
        assert len(table) == 1 + vocabulary["<|im_end|>"] > len(before)
        assert model.config.text_config.vocab_size == len(table)
        for row in (table[vocabulary[marker]] for marker in MARKERS):
            torch.testing.assert_close(row, before[: vocabulary["<|im_start|>"]].mean(0))
        assert processor.image_token_id >= len(table)
        assert processor.tokenizer.eos_token == "<|im_end|>"
        assert model.generate(**processor(text="Hi"), max_new_tokens=1).shape[0] == 1


def _white():
    from PIL import Image

    return Image.new("RGB", (24, 24), "white")


class TestFromOryx:
    def test_a_native_folder_gives_tower_rule_and_prompt(self, parts, model_folder):
        source = {"vision_tower": str(model_folder), "language_model": parts["language_model"]}
        model, processor = put_together(source, {})
        state = load_file(model_folder / "model.safetensors")
        assert same(part(model.state_dict(), "vision_tower"), part(state, "vision_tower"))
        assert processor.resize_rule == make_processor().resize_rule
        assert processor.system_prompt == "You are a helpful assistant."

    def test_a_native_folder_gives_its_language_model_and_what_goes_with_it(self, model_folder):
        source = {"vision_tower": str(model_folder), "language_model": str(model_folder)}
        model, processor = put_together(source, {})
        state = load_file(model_folder / "model.safetensors")
        assert same(part(model.state_dict(), "language_model"), part(state, "language_model"))
        assert (processor.prompt_style, processor.system_prompt) == ("eval", "Be brief.")

    def test_compressor_and_projector_may_come_from_a_model(self, model_folder):
        name = str(model_folder)
        source = {"vision_tower": name, "language_model": name, "compressor": name, "projector": name}
        model, _ = put_together(source, {})
        assert same(model.state_dict(), oryx.load(model_folder)[0].state_dict())

    @pytest.mark.parametrize("name", ["oryx-tiny-qwen", "oryx-tiny-llama"])
    def test_published_folders_give_all_four_parts(self, name):
        folder = str(REFERENCE / name)
        source = dict.fromkeys(("vision_tower", "language_model", "compressor", "projector"), folder)
        model, processor = put_together(source, {})
        expected, reference = oryx.load(folder, dtype="float32", device="cpu")
        assert same(model.state_dict(), expected.state_dict())
        assert processor.resize_rule == reference.resize_rule

    def test_a_tower_file_alone_is_enough(self, parts, tmp_path):
        folder = REFERENCE / "oryx-tiny-llama"
        heads = json.loads((folder / "config.json").read_text())["mm_vision_heads"]
        source = {
            "vision_tower": str(folder / "oryx_vit.pth"),
            "language_model": parts["language_model"],
            "vision": {"num_attention_heads": heads},
        }
        model, processor = put_together(source, {})
        expected, _ = oryx.load(folder, dtype="float32", device="cpu")
        assert same(model.vision_tower.state_dict(), expected.vision_tower.state_dict())
        assert model.config.vision_config.to_dict() == expected.config.vision_config.to_dict()
        assert processor.rule.patch_size == 16
        (tmp_path / "alone").mkdir()
        shutil.copy(folder / "oryx_vit.pth", tmp_path / "alone")
        again, _ = put_together({**source, "vision_tower": str(tmp_path / "alone")}, {})
        assert same(model.state_dict(), again.state_dict())

    def test_a_published_language_model_needs_no_tower_of_its_own(self, parts, tmp_path):
        folder = tmp_path / "bare"
        shutil.copytree(REFERENCE / "oryx-tiny-llama", folder, ignore=shutil.ignore_patterns("*.pth"))
        source = {**parts, "language_model": str(folder)}
        with pytest.warns(UserWarning, match="left out"):
            model, _ = put_together(source)
        expected, _ = oryx.load(REFERENCE / "oryx-tiny-llama", dtype="float32", device="cpu")
        assert same(model.language_model.state_dict(), expected.language_model.state_dict())

    def test_trained_copies_leave_the_files_alone(self, model_folder):
        name = str(model_folder)
        before = load_file(model_folder / "model.safetensors")
        model, _ = put_together({"vision_tower": name, "language_model": name, "projector": name}, {})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)
        assert same(before, load_file(model_folder / "model.safetensors"))


def drop(folder, key):
    tensors = load_file(folder / "model.safetensors")
    del tensors[key]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "error", "said"),
        [
            ({"vision_tower": "none.pth"}, CheckpointError, "the vision tower none.pth is missing"),
            ({"vision_tower": "none"}, CheckpointError, "none is neither nano, nor an existing folder"),
            ({"language_model": "none"}, CheckpointError, "none is neither nano, nor an existing folder"),
            ({"projector": "none"}, CheckpointError, "none is neither nano, nor an existing folder"),
            ({"tokenizer": "/none"}, ConfigError, "model.assemble.tokenizer: /none holds no readable"),
            (
                {"vision": {"hidden_size": 8}},
                ConfigError,
                "model.assemble.vision: hidden_size is SigLIP's own and cannot be set",
            ),
        ],
    )
    def test_sources_that_do_not_exist(self, parts, changes, error, said):
        with pytest.raises(error, match=said):
            put_together({**parts, **changes})

    def test_a_tower_of_another_kind(self, parts, language_model):
        with pytest.raises(CheckpointError, match=r"model_type 'qwen2'; allowed: oryx, .*siglip"):
            put_together({**parts, "vision_tower": str(language_model), "vision": {}})

    def test_a_language_model_of_another_kind(self, parts, siglip):
        with pytest.raises(CheckpointError, match="'siglip_vision_model', no causal language model"):
            put_together({**parts, "language_model": str(siglip)})

    def test_settings_that_a_folder_decides(self, parts, model_folder):
        with pytest.raises(ConfigError, match="patch_size is decided by the tower of"):
            put_together({**parts, "vision_tower": str(model_folder)})
        file = str(REFERENCE / "oryx-tiny-llama" / "oryx_vit.pth")
        with pytest.raises(ConfigError, match=r"patch_size is told by the shapes in .*oryx_vit.pth; allowed"):
            put_together({**parts, "vision_tower": file})

    def test_an_empty_folder_and_an_unfinished_run(self, parts, tmp_path):
        (tmp_path / "run").mkdir()
        with pytest.raises(CheckpointError, match=r"run holds no config.json, nor oryx_vit.pth"):
            put_together({**parts, "vision_tower": str(tmp_path / "run"), "vision": {}})
        (tmp_path / "run" / "recipe.yaml").write_text("{}")
        for key in ("vision_tower", "language_model", "compressor"):
            with pytest.raises(CheckpointError, match="run holds a run that is not finished"):
                put_together({**parts, key: str(tmp_path / "run")})

    @pytest.mark.parametrize(
        ("key", "tensor"),
        [
            ("vision_tower", "vision_tower.blocks.1.mlp.fc1.bias"),
            ("projector", "projector.fc2.weight"),
            ("language_model", "language_model.model.norm.weight"),
        ],
    )
    def test_weights_that_are_missing(self, parts, model_folder, key, tensor):
        drop(model_folder, tensor)
        vision = {} if key == "vision_tower" else VISION
        with pytest.raises(CheckpointError, match=rf"missing keys {tensor.partition('.')[2]}"):
            put_together({**parts, "vision": vision, key: str(model_folder)})

    def test_a_damaged_language_model(self, parts, language_model):
        drop(language_model, "model.layers.0.mlp.up_proj.weight")
        with pytest.raises(
            CheckpointError, match=r"lm does not fit.*missing keys model.layers.0.mlp.up_proj"
        ):
            put_together(parts)
        (language_model / "model.safetensors").write_bytes(b"nothing")
        with pytest.raises(CheckpointError, match="lm holds no readable causal language model"):
            put_together(parts)

    @pytest.mark.filterwarnings("ignore:.*left out")
    def test_parts_of_other_widths(self, parts, tmp_path):
        wide = make_model(make_config(hidden_size=40))
        wide.save_pretrained(tmp_path / "wide")
        with pytest.raises(
            CheckpointError, match=r"misshapen keys .*fc1.weight \[40, 24\] instead of \[32, 24\]"
        ):
            put_together({**parts, "projector": str(tmp_path / "wide")})

    def test_a_tokenizer_of_another_model(self, parts, tmp_path):
        tokenizer = make_tokenizer()
        tokenizer.add_tokens([f"word{number}" for number in range(9)])
        tokenizer.save_pretrained(tmp_path / "words")
        with pytest.raises(ConfigError, match=r"tokenizer has 269 tokens, but the language model knows 261"):
            put_together({**parts, "tokenizer": str(tmp_path / "words")})


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_recipe_assembles(parts, settings, write_recipe):
    settings["model"] = {"assemble": {**parts, "compressor_dim": 8}, "processor": SETTINGS}
    recipe = load_recipe(write_recipe(settings))
    model, processor = build_model(recipe)
    assert model.config.compressor_dim == 8
    assert processor.rule.patch_size == PATCH
    with pytest.raises(
        ConfigError, match=r"the tower's patch_size is 4, but .*patch_size is 16; they must be"
    ):
        build_model(load_recipe(write_recipe(settings), ["model.processor={}"]))
    with pytest.raises(ConfigError, match="did you mean 'vision_tower'"):
        load_recipe(write_recipe(settings), ["model.assemble.vision_towr=x"])
    with pytest.raises(ConfigError, match=r"model.assemble.compressor_dim is 0; it must be at least 1"):
        load_recipe(write_recipe(settings), ["model.assemble.compressor_dim=0"])
