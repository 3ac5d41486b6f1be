"""Tasks that compare likelihoods, through lmms-eval's simple tasks."""

from pathlib import Path

import lmms_eval.tasks.perceptiontest.val.utils as perceptiontest
import pytest
import torch
import yaml
from datasets import Sequence, Value
from lmms_plugin.asker import video
from lmms_plugin.harness import EXAMPLES, Harness
from lmms_plugin.made_videos import TEXT
from lmms_plugin.records import put_videos, write_repository

TASK = "made_likelihood"
CASES = (
    ("order", "What comes first?", ["red circle", "green star", "a dog"]),
    ("moving", "What moves?", ["up", "it"]),
)


def loss(nano, clip, question, answer):
    """The mean loss of an answer, from the labels of the package."""
    batch = nano.processor.encode_conversation(
        [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}],
        [video(EXAMPLES / f"{clip}.mp4")],
        prompt_style="eval",
    )
    labels = batch["labels"][0]
    where = (labels != -100).nonzero()[:-1, 0]  # the end of the turn is no part of the answer
    with torch.no_grad():
        logits = nano.model(**{key: value for key, value in batch.items() if key != "labels"}).logits
    return float(torch.nn.functional.cross_entropy(logits[0, where - 1].float(), labels[where]))


def test_the_likeliest_option_wins(tmp_path, nano):
    harness = Harness(tmp_path)
    put_videos(harness.home / "perceptiontest_val" / "videos")
    rows, right = [], 0
    losses = [[loss(nano, clip, question, text) for text in options] for clip, question, options in CASES]
    for index, ((clip, question, options), own) in enumerate(zip(CASES, losses)):
        best = own.index(min(own))
        answer = best if index == 0 else (best + 1) % len(options)
        right += answer == best
        rows.append(
            {"video_name": clip, "question": question, "question_id": str(index), "options": options}
            | {"answer_id": answer, "area": "physics", "reasoning": "descriptive", "tag": ["motion"]}
        )
    features = dict.fromkeys(rows[0], TEXT) | {"answer_id": Value("int64")}
    features |= {"options": Sequence(TEXT), "tag": Sequence(TEXT)}
    write_repository(
        harness, "lmms-eval/PerceptionTest_Val", "validation", rows, features, ["mc_question_val"]
    )
    run = harness.run(TASK, "model=nano", "--force_simple", "--include_path", str(write_task(harness.root)))
    assert run.results[TASK]["acc,none"] == right / 2
    found = [float(pair[0]) for row in run.samples(TASK) for pair in row["filtered_resps"]]
    assert found == pytest.approx([value for own in losses for value in own], abs=1e-3)


def write_task(folder):
    """Perception Test's own task of this kind, but for its scores: lmms-eval 0.7.3 fails to add them up."""
    own = Path(perceptiontest.__file__).with_name("perceptiontest_mcppl.yaml")
    score = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
    settings = {"include": str(own), "task": TASK, "process_results": None, "metric_list": [score]}
    (folder / "include").mkdir()
    (folder / "include" / f"{TASK}.yaml").write_text(yaml.safe_dump(settings))
    return folder / "include"
