"""`oryx.load`: names, devices, dtypes, and folders that cannot be loaded."""

import json
import shutil
import sys

import pytest
import torch
from factories import make_config, make_model, make_processor
from reference_cases import REFERENCE
from safetensors.torch import load_file, save_file

import oryx
from oryx import loading
from oryx.checkpoints.published import TOWER_FILE
from oryx.errors import CheckpointError, ConfigError
from oryx.loading import SMALL_MODEL, resolve_device, resolve_dtype, resolve_folder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def native_source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "native"
    make_model().save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def native(native_source, tmp_path):
    return shutil.copytree(native_source, tmp_path / "native")


def damage(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def load(folder, **kwargs):
    return oryx.load(folder, device="cpu", **kwargs)


def test_a_native_folder(native):
    model, processor = load(native)
    assert not model.training
    expected = make_model().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    assert processor.rule == make_processor().rule


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_reaches_tower_and_language_model(native, attention):
    model, _ = load(native, attn_implementation=attention)
    assert model.vision_tower.blocks[0].attn.config._attn_implementation == attention
    assert model.language_model.config._attn_implementation == attention


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_dtype(native, dtype):
    model, _ = load(native, dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.config.dtype == torch.bfloat16


def test_published_defaults_for_generation():
    model, processor = load(REFERENCE / "oryx-tiny-qwen")
    assert model.generation_config.eos_token_id == processor.tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == processor.tokenizer.pad_token_id
    assert model.generation_config.do_sample is False


def test_the_log_is_left_as_it_was(native):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        load(native)
        assert not logging.is_progress_bar_enabled()
    finally:
        if before[1]:
            logging.enable_progress_bar()
    load(native)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "./nowhere/at-all", "/nowhere", "a/b/c", "~/nowhere/x", ""])
def test_a_name_of_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError):
        oryx.load(name)


def test_a_file_is_no_model(tmp_path):
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(CheckpointError, match="is a file; a model is a folder"):
        load(tmp_path / "model.safetensors")


def test_an_empty_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load(tmp_path)


def test_a_build_without_nano(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "files", lambda _: tmp_path)
    with pytest.raises(CheckpointError, match="ships no nano weights"):
        oryx.load("nano")


def test_a_hub_id_is_fetched(native, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda name, **kwargs: asked.append((name, kwargs)) or str(native),
    )
    assert resolve_folder("owner/name") == native
    ((name, kwargs),) = asked
    assert name == "owner/name"
    assert not any(pattern.endswith((".py", ".bin")) for pattern in kwargs["allow_patterns"])


def test_a_hub_that_does_not_answer(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route\nto the hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(CheckpointError, match=r"owner/name is no local folder .* \(no route\)"):
        oryx.load("owner/name")


def test_another_model_type(native):
    (native / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="model_type 'bert'; allowed: oryx, oryx_qwen, oryx_llama"):
        load(native)


# -- devices and dtypes ----------------------------------------------------------------------------


def test_device():
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type in ("cpu", "cuda", "mps", "xpu")


@pytest.mark.parametrize("device", ["toaster", "cuda:99"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ConfigError, match=f"device {device} cannot be used here"):
        resolve_device(device)


def test_automatic_dtype(monkeypatch):
    small, large = SMALL_MODEL - 1, SMALL_MODEL
    monkeypatch.setattr(loading, "multiplies_bfloat16", lambda: True)
    assert resolve_dtype("auto", "bfloat16", CPU, small) == torch.float32
    assert resolve_dtype("auto", "bfloat16", CPU, large) == torch.bfloat16
    assert resolve_dtype("auto", torch.bfloat16, torch.device("cuda"), small) == torch.bfloat16
    assert resolve_dtype("auto", None, torch.device("cuda"), small) == torch.float32
    monkeypatch.setattr(loading, "multiplies_bfloat16", lambda: False)
    assert resolve_dtype("auto", "bfloat16", CPU, large) == torch.float32
    assert resolve_dtype("float16", "bfloat16", CPU, large) == torch.float16


def test_an_unknown_dtype(native):
    with pytest.raises(
        ConfigError, match="dtype 'int8' is unknown; allowed: auto, float32, bfloat16, float16"
    ):
        load(native, dtype="int8")


# -- folders that do not fit ---------------------------------------------------------------------------


def test_unknown_missing_and_misshapen_keys_are_listed(native):
    def change(tensors):
        tensors["projector.middle.weight"] = torch.ones(1)
        del tensors["compressor.query.bias"]
        tensors["projector.end"] = torch.ones(7)

    with pytest.raises(CheckpointError) as caught:
        load(damage(native, change))
    assert str(caught.value) == (
        f"{native} does not fit its config: unknown keys projector.middle.weight; missing keys "
        f"compressor.query.bias; misshapen keys projector.end [7] instead of [32]."
    )


def test_a_truncated_file(native):
    file = native / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="is not a readable safetensors file"):
        load(native)


@pytest.mark.parametrize(
    "settings", [{"vision_config": {"hidden_size": "wide"}}, {"text_config": {"model_type": "abacus"}}]
)
def test_a_config_of_wrong_settings(native, settings):
    file = native / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    with pytest.raises(CheckpointError, match=r"config\.json is not a valid config \("):
        load(native)


def test_a_folder_without_a_processor(native):
    for file in [*native.glob("tokenizer*"), native / "processor_config.json"]:
        file.unlink()
    with pytest.raises(CheckpointError, match=r"processor_config\.json is missing"):
        load(native)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", '{"version": "1.0"}'),
        ("tokenizer.json", "[]"),
        ("tokenizer.json", "{"),
        ("tokenizer_config.json", "[]"),
    ],
)
def test_a_damaged_tokenizer(native, file, content):
    (native / file).write_text(content)
    with pytest.raises(CheckpointError, match=r"native holds no readable processor \(.+\)\.$"):
        load(native)


@pytest.mark.parametrize(
    ("file", "content"),
    [("vocab.json", '{"a": 0, "b'), ("merges.txt", "x"), ("tokenizer_config.json", "[]")],
)
def test_a_damaged_tokenizer_of_a_published_folder(tmp_path, file, content):
    folder = shutil.copytree(REFERENCE / "oryx-tiny-qwen", tmp_path / "tiny")
    (folder / file).write_text(content)
    with pytest.raises(CheckpointError, match=r"tiny holds no readable tokenizer \(.+\)\.$"):
        load(folder)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"prompt_stile": "eval"}, "has no setting 'prompt_stile'; did you mean 'prompt_style'"),
        ({"prompt_style": "evil"}, 'prompt_style must be "train" or "eval"'),
        ({"resize_rule": 5}, "resize_rule must be an object, not 5"),
        ({"image_token": 5}, "holds no readable processor"),
    ],
)
def test_a_setting_of_the_processor_that_is_none(native, settings, sentence):
    file = native / "processor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    with pytest.raises((CheckpointError, ConfigError), match=sentence):
        load(native)


def test_what_transformers_writes_beside_our_settings_is_allowed(native):
    file = native / "processor_config.json"
    theirs = {"auto_map": {"AutoProcessor": "x.Y"}, "processor_class": "OryxProcessor", "tokenizer": {}}
    file.write_text(json.dumps(json.loads(file.read_text()) | theirs | {"transformers_version": "5.0"}))
    assert load(native)[1].rule == make_processor().rule


@pytest.mark.parametrize("content", ["{", "[]", '{"max_new_tokens": "x"}'])
def test_a_broken_generation_config(native, content):
    (native / "generation_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"generation_config\.json"):
        load(native)


def test_the_generation_config_is_optional(native):
    (native / "generation_config.json").unlink(missing_ok=True)
    load(native)


def test_a_repeated_tied_head(tmp_path):
    """Some programs save the embedding again as the head."""
    model = make_model(make_config(tie_word_embeddings=True))
    model.save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    embedding = model.get_input_embeddings().weight.detach().clone()
    damage(tmp_path, lambda tensors: tensors.update({"language_model.lm_head.weight": embedding}))
    loaded, _ = load(tmp_path)
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight


def test_a_tower_for_a_folder_that_needs_none(native):
    with pytest.raises(ConfigError, match="holds its tower; vision_tower is for published checkpoints"):
        load(native, vision_tower=REFERENCE / "oryx-tiny-llama" / TOWER_FILE)


# -- the tokenizer of Yi -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sentencepiece_files(tmp_path_factory):
    """Tiny `tokenizer.model` files made as Yi's is, with the ChatML marks and without."""
    spm = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("spm")
    words = ["the red circle is left of the blue square", "what colour is the cat ?", "user assistant system"]
    files = []
    for name, marks in (("with", ["<|im_start|>", "<|im_end|>"]), ("without", [])):
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(words * 20),
            model_prefix=str(folder / name),
            vocab_size=300,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            model_type="bpe",
            byte_fallback=True,
            bos_piece="<|startoftext|>",
            eos_piece="<|endoftext|>",
            user_defined_symbols=marks,
            minloglevel=2,
        )
        files.append(folder / f"{name}.model")
    return files


def yi_folder(folder, model_file, marks=("<|im_start|>", "<|im_end|>")):
    folder.mkdir()
    for name in ("config.json", "model.safetensors", TOWER_FILE):
        shutil.copy(REFERENCE / "oryx-tiny-llama" / name, folder)
    shutil.copy(model_file, folder / "tokenizer.model")
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<|startoftext|>",
        "eos_token": marks[1] if marks else "<|endoftext|>",
        "unk_token": "<unk>",
        "pad_token": "<unk>",
        "add_bos_token": False,
        "legacy": True,
        "additional_special_tokens": list(marks),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_a_slow_tokenizer(tmp_path, sentencepiece_files):
    import sentencepiece

    model, processor = load(yi_folder(tmp_path / "yi", sentencepiece_files[0]))
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(sentencepiece_files[0]))
    tokenizer = processor.tokenizer
    start, end = pieces.piece_to_id("<|im_start|>"), pieces.piece_to_id("<|im_end|>")
    assert tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"]) == [start, end]
    for text in ("what colour is the red circle", "a cat", "§ unknown letters"):
        assert tokenizer(text, add_special_tokens=False).input_ids == pieces.encode(text)
    conversation = [{"from": "human", "value": "what colour ?"}, {"from": "gpt", "value": None}]
    batch = processor.encode_conversation(conversation, supervise=None)
    ids = batch["input_ids"][0].tolist()
    assert ids.count(start) == 3
    assert ids.count(end) == 2
    assert model.generation_config.eos_token_id == end
    assert model(**batch).logits.shape[:2] == (1, len(ids))


def test_a_tokenizer_without_the_marks_of_turns(tmp_path, sentencepiece_files):
    folder = yi_folder(tmp_path / "yi", sentencepiece_files[1], marks=())
    with pytest.raises(
        CheckpointError, match=r"lacks <\|im_start\|> and <\|im_end\|>, which mark every turn"
    ):
        load(folder)


def test_a_slow_tokenizer_without_sentencepiece(tmp_path, sentencepiece_files, monkeypatch):
    folder = yi_folder(tmp_path / "yi", sentencepiece_files[0])
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(
        CheckpointError, match=r"SentencePiece tokenizer \(tokenizer\.model\); install oryx-mllm\[yi\]"
    ):
        load(folder)


def test_a_published_folder_without_a_tokenizer(tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(REFERENCE / "oryx-tiny-qwen" / name, folder)
    with pytest.raises(CheckpointError, match="tokenizer"):
        load(folder)
