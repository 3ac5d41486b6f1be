"""Sessions: time to the first token of a first question, of a follow-up and of a fresh question.

    python benchmarks/session.py

The first question pays for decoding, encoding and the whole prompt; a follow-up and a fresh question in the
same session reuse keys and values; the same video in a new session that shares the cache of visual tokens
pays for the prompt alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import Report, median_ratio, parser
from material import MATERIAL, make_film

import oryx

QUESTIONS = ("What moves in the video?", "Which one comes first?", "How many objects are there?")


def first_tokens(model: str, video: Path, num_frames: int, compression: int | None) -> dict[str, float]:
    """Seconds from a request to its first token, in the order of the questions."""
    loaded, processor = oryx.load(model, device="cpu")
    cache = oryx.VisualTokenCache()
    visual = {"type": "video", "video": str(video), "max_frames": num_frames, "compression": compression}
    taken: dict[str, float] = {}

    def measure(name: str, session: oryx.Session, number: int, **settings: bool) -> None:
        began = time.perf_counter()
        if session.num_visual_tokens == 0:
            session.add(visual)
        before = time.perf_counter() - began
        answer = session.ask(QUESTIONS[number], max_new_tokens=16, **settings)  # type: ignore[arg-type]
        taken[name] = before + answer.first_token_seconds
        taken[f"{name}, prompt tokens"] = answer.prompt_tokens
        taken[f"{name}, of them kept"] = answer.cached_tokens

    session = oryx.Session(loaded, processor, cache)
    # What a process pays once (kernels, threads, templates) belongs to no question.
    oryx.Session(loaded, processor).ask("Hello", max_new_tokens=2)
    measure("first question", session, 0)
    measure("follow-up", session, 1)
    measure("fresh question", session, 2, follow_up=False)
    measure("new session, shared cache", oryx.Session(loaded, processor, cache), 0)
    return taken


def prefill_alone(model: str, video: Path, num_frames: int) -> dict[str, Callable[[], float]]:
    """The same questions without decoding and encoding: what keys and values alone save."""
    loaded, processor = oryx.load(model, device="cpu")
    visual = {"type": "video", "video": str(video), "max_frames": num_frames}
    session = oryx.Session(loaded, processor)
    session.add(visual)

    def whole() -> float:
        session._prefix = None
        return session.ask(QUESTIONS[0], follow_up=False, max_new_tokens=1).first_token_seconds

    def fresh() -> float:
        return session.ask(QUESTIONS[2], follow_up=False, max_new_tokens=1).first_token_seconds

    return {"whole prompt": whole, "fresh question": fresh}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--material", type=Path, default=MATERIAL, help="where the video is kept")
    arguments.add_argument("--frames", type=int, default=256)
    arguments.add_argument("--compression", type=int, help="by default that of so many frames")
    arguments.add_argument("--minutes", type=float, default=5, help="length of the video")
    arguments.add_argument("--model", default="nano")
    options = arguments.parse_args()
    video = make_film(options.material, seconds=round(60 * options.minutes))
    report = Report("session")
    runs = [
        first_tokens(options.model, video, options.frames, options.compression)
        for _ in range(options.repeats)
    ]
    names = [name for name in runs[0] if ", prompt" not in name and ", of them" not in name]
    for name in names:
        report.add(
            f"{name}, to first token",
            1000 * statistics.median(run[name] for run in runs),
            "ms",
            prompt_tokens=runs[0][f"{name}, prompt tokens"],
            kept_tokens=runs[0][f"{name}, of them kept"],
        )
    first = [run["first question"] for run in runs]
    for name in names[1:]:
        ratio = median_ratio(first, [run[name] for run in runs])
        report.add(f"first question to {name}", ratio, "x", "" if "cache" in name else "at least 10")
    report.add("prompt tokens of the first question", runs[0]["first question, prompt tokens"], "")
    cases = prefill_alone(options.model, video, options.frames)
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(4 * options.repeats):
        for name, run in cases.items():
            seconds[name].append(run())
    for name, values in seconds.items():
        report.add(f"{name}, media encoded before", 1000 * statistics.median(values), "ms")
    report.add("whole prompt to fresh question", median_ratio(*seconds.values()), "x")
    report.finish(options.output)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
