"""The shipped model, as the README shows it: its first line's answer is right, and it stays small."""

import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import oryx

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")


def test_the_first_line_of_the_readme_prints_the_answer_it_promises():
    line = re.search(r"```bash\n(.+?)\n", README)[1]
    arguments = shlex.split(line.split("&&")[-1])[1:]
    promised = re.search(r"it answers `(.+?)`", README)[1]
    command = [sys.executable, "-c", "from oryx.cli.main import main; raise SystemExit(main())", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == promised
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1.5e6  # kilobytes


@pytest.fixture(scope="module")
def nano():
    return oryx.load("nano", device="cpu")


def test_chat_messages_without_a_line_break_are_understood(nano):
    """Parts of a message are joined as they are, and nobody writes the newline that training data has."""
    model, processor = nano
    path = str(ROOT / "examples" / "object.png")
    parts = [{"type": "image", "image": path}, {"type": "text", "text": "What color is the object?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    ids = model.generate(**inputs, max_new_tokens=8)
    (said,) = processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert said == "red"


def test_pictures_held_in_memory_and_paths_are_the_same(nano):
    _, processor = nano
    path = ROOT / "examples" / "order.mp4"
    given = [
        processor(text="<video>\nWhat comes first?", videos=videos, return_tensors="pt")
        for videos in (str(path), path, [path], path.read_bytes())
    ]
    assert all(batch["patches"].equal(given[0]["patches"]) for batch in given)
