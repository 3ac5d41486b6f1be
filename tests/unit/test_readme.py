"""The blocks of the README are run as they stand there."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

import oryx
from oryx.training.running import train

ROOT = Path(__file__).parents[2]


def find_block(language: str, beginning: str) -> str:
    """The first block of the README in a language that begins so."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return next(
        block
        for block in re.findall(rf"^```{language}\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
        if block.startswith(beginning)
    )


def test_the_fine_tune_recipe_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_recipe.yaml").write_text(find_block("yaml", "model: {from: nano}"), encoding="utf-8")
    Path("media").mkdir()
    Image.new("RGB", (40, 32), "red").save("media/red.png")
    turns = [{"from": "human", "value": "<image>\nWhich color?"}, {"from": "gpt", "value": "red"}]
    record = {"image": "red.png", "conversations": turns}
    Path("records.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    # Two short steps instead of an epoch of long rows; the rest is the README's.
    changes = ["optim.epochs=null", "optim.steps=2", "batch.row_length=256", "num_workers=0"]
    folder = train("my_recipe.yaml", "runs/mine", changes)
    assert json.loads((folder / "trainer_state.json").read_text())["global_step"] == 2
    before, after = oryx.load("nano")[0].state_dict(), oryx.load(folder)[0].state_dict()
    changed = {name.split(".")[0] for name in after if not after[name].equal(before[name])}
    assert changed == {"projector", "language_model"}  # a picture at 1x asks the compressor nothing


def test_the_python_block_prints_an_answer(monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    exec(compile(find_block("python", "import oryx"), "README.md", "exec"), names)
    assert capsys.readouterr().out.strip()
    assert len(names["tokens"]) > 0
