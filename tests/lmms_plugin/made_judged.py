"""Benchmarks that a model judges, in their exact schemas. Each question says what the judge makes of it."""

import csv

from datasets import Value
from lmms_plugin.asker import video
from lmms_plugin.harness import EXAMPLES, Made
from lmms_plugin.records import put_videos, write_repository

TEXT = Value("string")
ORDER = EXAMPLES / "order.mp4"


def make_judged(harness, nano):
    put_videos(harness.home / "videochatgpt" / "Test_Videos")
    makers = (mmbench_video, generic, temporal, consistency, detail)
    return [make(harness, nano) for make in makers]


def _said(nano, questions):
    return [nano.about(video(ORDER, max_frames=8), question, 1024) for question in questions]


def mmbench_video(harness, nano):
    """Grades 3 and 1, one ramble, one failure: a mean of 1 out of 3."""
    put_videos(harness.home / "mmbench_video" / "video")
    questions = [f"What happens? {does}" for does in ("GRADE 3", "GRADE 1", "RAMBLE", "FAIL")]
    file = harness.hub / "opencompass" / "MMBench-Video" / "MMBench-Video.tsv"
    file.parent.mkdir(parents=True)
    names = ["index", "video", "video_type", "question", "answer", "dimensions", "video_path"]
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t")
        writer.writerow(names)
        for index, question in enumerate(questions):
            writer.writerow(
                [index, "order", "Comedy", question, "Things appear.", "['Counting']", "./video/order.mp4"]
            )
    expected = {"mmbench_video_score,none": (3 + 1 + 0 + 0) / 4, "judge_failures,none": 2}
    return Made("oryx_mmbench_video", expected, _said(nano, questions))


def generic(harness, nano):
    """Each record is graded in three respects."""
    questions = ["What is shown? GRADE 5", "What is shown? GRADE 2", "What is shown? RAMBLE"]
    mean = (5 + 2 + 0) / 3
    expected = {f"{name},none": mean for name in ("correctness", "detailed_orientation", "context")}
    _write(harness, "Generic", questions)
    answers = _said(nano, questions)
    return Made("oryx_videochatgpt_generic", {**expected, "judge_failures,none": 3}, answers)


def temporal(harness, nano):
    questions = ["What is first? GRADE 4", "What is last? RAMBLE"]
    _write(harness, "Temporal", questions)
    expected = {"temporal,none": (4 + 0) / 2, "judge_failures,none": 1}
    return Made("oryx_videochatgpt_temporal", expected, _said(nano, questions))


def consistency(harness, nano):
    """Two pairs of questions: one graded, one that the judge rambles about."""
    pairs = [("What? GRADE 3", "What is it? GRADE 3", "a"), ("Who? RAMBLE", "Who is it?", "b")]
    rows = []
    for first, second, answer in pairs:
        for one, two in ((first, "None"), ("None", second)):
            rows.append({"video_name": "order", "question_1": one, "question_2": two, "answer": answer})
    features = dict.fromkeys(rows[0], TEXT)
    write_repository(harness, "lmms-eval/VideoChatGPT", "test", rows, features, ["Consistency"])
    expected = {"consistency,none": (3 + 0) / 2, "judge_failures,none": 1}
    answers = _said(nano, [question for first, second, _ in pairs for question in (first, second)])
    return Made("oryx_videochatgpt_consistency", expected, answers)


def detail(harness, nano):
    questions = ["Describe it. GRADE 5", "Describe it. GRADE 4"]
    rows = [
        {"video_name": name, "question": question, "answer": "It is so."}
        for name, question in zip(("order", "moving"), questions)
    ]
    features = dict.fromkeys(rows[0], TEXT)
    write_repository(harness, "lmms-lab/VideoDetailDescription", "test", rows, features)
    clips = (ORDER, EXAMPLES / "moving.mp4")
    answers = [nano.about(video(clip, max_frames=8), text, 1024) for clip, text in zip(clips, questions)]
    expected = {"detail,none": 4.5, "judge_failures,none": 0}
    return Made("oryx_video_detail", expected, answers)


def _write(harness, config, questions):
    rows = [{"video_name": "order", "question": text, "answer": "It is so."} for text in questions]
    features = dict.fromkeys(rows[0], TEXT)
    write_repository(harness, "lmms-eval/VideoChatGPT", "test", rows, features, [config])
