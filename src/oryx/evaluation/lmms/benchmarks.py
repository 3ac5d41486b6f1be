"""The paper's benchmarks as lmms-eval knows them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """One benchmark, and the tasks that measure it."""

    name: str
    tasks: tuple[str, ...]
    """Task ids of lmms-eval, or of `tasks/`, whose ids begin with `oryx_`."""
    config: str
    """The file in `configs/` that runs them with the published settings."""
    id_column: str | None = None
    """The column that tells its documents apart; None where it has none."""
    has_options: bool = False
    """Answers are letters of options."""
    needs_judge: bool = False


BENCHMARKS = (
    Benchmark("VideoMME", ("oryx_videomme", "oryx_videomme_w_subtitle"), "video.yaml", "question_id", True),
    Benchmark("NextQA", ("oryx_nextqa_mc",), "video.yaml", has_options=True),
    Benchmark("Perception Test", ("perceptiontest_val_mc",), "video.yaml", has_options=True),
    Benchmark("MVBench", ("oryx_mvbench",), "video.yaml", has_options=True),
    Benchmark("MMBench-Video", ("oryx_mmbench_video",), "video_judged.yaml", "index", needs_judge=True),
    Benchmark(
        "VideoChatGPT",
        (
            "oryx_videochatgpt_generic",
            "oryx_videochatgpt_temporal",
            "oryx_videochatgpt_consistency",
        ),
        "video_judged.yaml",
        needs_judge=True,
    ),
    Benchmark("Video detail", ("oryx_video_detail",), "video_judged.yaml", "video_name", needs_judge=True),
    Benchmark("MLVU", ("oryx_mlvu_dev",), "long_video.yaml", has_options=True),
    Benchmark("LongVideoBench", ("oryx_longvideobench_val",), "long_video.yaml", "id", True),
    Benchmark(
        "VideoMME, long",
        ("oryx_videomme_long", "oryx_videomme_long_w_subtitle"),
        "long_video.yaml",
        "question_id",
        True,
    ),
    Benchmark("MMBench", ("oryx_mmbench_en_dev",), "image.yaml", "index", True),
    Benchmark("MMMU", ("oryx_mmmu_val",), "image.yaml", "id"),
    Benchmark("DocVQA", ("docvqa_val",), "image.yaml", "questionId"),
    Benchmark("OCRBench", ("ocrbench",), "image.yaml"),
    Benchmark("AI2D", ("ai2d",), "image.yaml", has_options=True),
    Benchmark("TextVQA", ("textvqa_val",), "image.yaml", "question_id"),
    Benchmark("ScanQA", ("oryx_scanqa",), "scenes.yaml", "id"),
    Benchmark("SQA3D", ("oryx_sqa3d",), "scenes.yaml", "id"),
    Benchmark("Needle", ("oryx_needle",), "needle.yaml", "id"),
)

_MVBENCH = re.compile(r"(oryx_)?mvbench_\w+")


def find_benchmark(task: str) -> Benchmark | None:
    """The benchmark that a task id belongs to, or None."""
    if _MVBENCH.fullmatch(task):
        task = "oryx_mvbench"
    return next((benchmark for benchmark in BENCHMARKS if task in benchmark.tasks), None)


def id_column(task: str) -> str | None:
    """The column that tells a task's documents apart; None where that is not known."""
    benchmark = find_benchmark(task)
    return None if benchmark is None else benchmark.id_column
