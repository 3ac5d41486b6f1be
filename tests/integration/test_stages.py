"""The four stages from end to end, by the project's own recipes, with everything small.

A tiny SigLIP becomes a tower behind one tiny Qwen2; the tower then serves another, through alignment and two
fine-tunings on pictures, videos and views. After every stage it is looked at which tensors moved.
"""

import json
import warnings
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from factories import PATCH, RULE, make_picture, make_text_config, make_tokenizer
from ranks import run_ranks
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, SiglipVisionConfig, SiglipVisionModel

import oryx
from oryx.training.building import build_model
from oryx.training.chain import load_chain, train_chain

PUBLISHED = Path(__file__).parents[2] / "recipes" / "published"
STAGES = ("vit", "align", "image_sft", "joint_sft")
LEFT_OUT = ".*left out what OryxViT has no place for"
# A softmax does not feel a constant on all of its keys, so these move by rounding alone or not at all.
UNFELT = ("compressor.key.bias", "k_proj.bias")


def save_language_model(folder, seed, **settings):
    torch.manual_seed(seed)
    text = make_text_config("qwen2", **settings)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(text.pop("model_type"), **text)).save_pretrained(
        folder
    )
    make_tokenizer().save_pretrained(folder)


def write_records(folder):
    """Pictures, videos as lists of frames, and views, each with a question; a few texts among them."""
    records = []
    for number in range(24):
        names = [f"{number}_{frame}.png" for frame in range(4)]
        for frame, name in enumerate(names):
            make_picture(24, 40, seed=10 * number + frame).save(folder / name)
        visual = [
            {"type": "image", "image": names[0]},
            {"type": "video", "video": names, "compression": 4},
            {"type": "views", "views": names[:2], "compression": 16},
        ][number % 3]
        turns = [
            {"from": "human", "value": f"<image>\nWhat is {number}?"},
            {"from": "gpt", "value": f"It is {number}."},
        ]
        records.append({"visuals": [visual], "conversations": turns, "kind": visual["type"]})
    for name, kinds in (("images", ("image",)), ("all", ("image", "video", "views"))):
        chosen = [record for record in records if record["kind"] in kinds]
        (folder / f"{name}.json").write_text(json.dumps(chosen))


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The file of the chain, its parts extending the published stages."""
    folder = tmp_path_factory.mktemp("stages")
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = SiglipVisionConfig(**sizes, image_size=20, patch_size=PATCH - 1)
    SiglipVisionModel(config).save_pretrained(folder / "siglip")
    save_language_model(folder / "light", 1, num_hidden_layers=1, tie_word_embeddings=True)
    save_language_model(folder / "large", 2)
    write_records(folder)
    small = {
        "optim": {"steps": 3, "epochs": None},
        "batch": {"row_length": 512, "rows": 1},
        "precision": "float32",
        "num_workers": 0,
        "num_threads": 1,
    }
    processor = {"resize_rule": RULE, "system_prompt": ""}
    models = {
        "vit": {
            "assemble": {
                "vision_tower": str(folder / "siglip"),
                "language_model": str(folder / "light"),
                "vision": {"patch_size": PATCH, "position_grid_size": 8},
            },
            "processor": processor,
        },
        "align": {"assemble": {"language_model": str(folder / "large"), "compressor_dim": 16}},
        "image_sft": {"from": str(folder / "own" / "align")},
        "joint_sft": {"from": str(folder / "own" / "image_sft")},
    }
    models["align"]["assemble"]["vision_tower"] = str(folder / "own" / "vit")
    for stage in STAGES:
        file = "all.json" if stage == "joint_sft" else "images.json"
        source = {"path": str(folder / file), "format": "llava", "name": "made"}
        if stage == "align":
            source["dials"] = {"compression": 4}
        recipe = {
            **small,
            "extends": str(PUBLISHED / f"{stage}.yaml"),
            "output": str(folder / "own" / stage),
            "model": models[stage],
            "data": {"sources": [source], "balance": 1},
        }
        (folder / f"{stage}.yaml").write_text(yaml.safe_dump(recipe))
    file = folder / "all.yaml"
    file.write_text(
        yaml.safe_dump({"parts": [f"{stage}.yaml" for stage in STAGES], "output": str(folder / "runs")})
    )
    return file


@pytest.fixture(scope="module")
def runs(chain):
    """Stage -> its weights before and after."""
    states = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=LEFT_OUT)
        begun = build_model(load_chain(chain).parts[0].recipe)[0].state_dict()
        train_chain(chain, console=Console(file=StringIO()))
    for part in load_chain(chain).parts:
        before = begun if part.name == "vit" else build_model(part.recipe)[0].state_dict()
        states[part.name] = (before, load_file(part.folder / "model.safetensors"))
    return states


def moved(before, after):
    return {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize(
    ("stage", "learns"),
    [
        ("vit", {"vision_tower", "projector", "language_model"}),
        ("align", {"compressor", "projector"}),
        ("image_sft", {"projector", "language_model"}),  # at 1x the compressor has nothing to choose
        ("joint_sft", {"compressor", "projector", "language_model"}),
    ],
)
def test_what_a_stage_trains_moves_and_nothing_else(runs, stage, learns):
    before, after = runs[stage]
    of_stage = {name for name in after if name.split(".")[0] in learns}
    unfelt = {name for name in of_stage if name.endswith(UNFELT)}
    assert moved(before, after) - unfelt == of_stage - unfelt


def test_later_stages_have_the_tower_of_the_first_bit_by_bit(runs):
    _, vit = runs["vit"]
    tower = {name: tensor for name, tensor in vit.items() if name.startswith("vision_tower.")}
    assert len(tower) > 20
    for stage in STAGES[1:]:
        for state in runs[stage]:
            assert all(torch.equal(tensor, state[name]) for name, tensor in tower.items())


def test_each_stage_begins_where_the_one_before_ended(runs):
    for earlier, later in pairwise(STAGES[1:]):
        (_, ended), (begun, _) = runs[earlier], runs[later]
        assert all(torch.equal(tensor, begun[name]) for name, tensor in ended.items())


def test_the_light_language_model_stays_behind(chain, runs):
    large = AutoModelForCausalLM.from_pretrained(chain.parent / "large").state_dict()
    before, after = runs["align"]
    for name, tensor in large.items():
        assert torch.equal(tensor, before[f"language_model.{name}"])
        assert torch.equal(tensor, after[f"language_model.{name}"])


def test_the_last_model_answers_about_a_video(chain, runs):
    model, processor = oryx.load(chain.parent / "runs" / "joint_sft")
    assert processor.resize_rule["patch_size"] == PATCH
    video = [make_picture(24, 40, seed=frame) for frame in range(3)]
    turns = [{"from": "human", "value": "<image>\nWhat happens?"}, {"from": "gpt", "value": None}]
    inputs = processor.encode_conversation(turns, [{"type": "video", "video": video}], supervise=None)
    answer = model.generate(**inputs, max_new_tokens=4)
    assert answer.shape[1] > inputs["input_ids"].shape[1]


def test_the_chain_draws_its_losses(chain, runs):
    assert (chain.parent / "runs" / "all_parts.png").is_file()
    for stage in STAGES:
        lines = (chain.parent / "runs" / stage / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]


def run_chain(path, output, changes):
    """Run the chain in this process; what it printed."""
    console = Console(file=StringIO(), width=200)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=LEFT_OUT)
        train_chain(path, output, changes, console)
    return console.file.getvalue()


@pytest.mark.slow
def test_two_processes_make_the_same_chain(chain, tmp_path):
    """Every weight shared out. Sums are in another order, and twelve steps of Adam enlarge that."""
    alone = ["batch.gradient_accumulation=2", "optim.learning_rate=1e-4"]
    run_chain(chain, tmp_path / "one", alone)
    said, silence = run_ranks(2, run_chain, chain, tmp_path / "two", ["optim.learning_rate=1e-4"])
    assert "part 4 of 4: joint_sft" in said
    assert silence == ""
    for stage in STAGES:
        one, two = (load_file(tmp_path / name / stage / "model.safetensors") for name in ("one", "two"))
        for name, tensor in one.items():
            if not name.endswith(UNFELT):
                torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4, msg=f"{stage}: {name}")
