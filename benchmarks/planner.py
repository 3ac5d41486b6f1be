"""The planner against what happens: tokens exactly, memory and seconds as a ratio to the measured ones.

    python benchmarks/planner.py

Each of five unlike requests is answered in a process of its own by `nano`; its peak memory and the seconds to
its first word stand beside the forecast, which a fresh calibration of this machine made before.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from common import Report, parser
from material import MATERIAL, make_film
from PIL import Image

NUM_REQUESTS = 1000
QUESTION = "What is in it?"


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--requests", type=int, default=NUM_REQUESTS, help="random requests to count tokens of"
    )
    options.add_argument("--material", type=Path, default=MATERIAL, help="where the film is kept")
    options.add_argument("--answer", help="answer one request given as JSON, and print what it took")
    given = options.parse_args()
    if given.answer:
        print(json.dumps(answer(json.loads(given.answer))))
        return
    report = Report("planner")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wrong, planned = count_random_requests(folder, given.requests)
        report.add("random requests planned and encoded", planned, "requests")
        report.add("of them with another number of tokens", wrong, "requests", "0")
        forecast_costs(folder, make_film(given.material), report, given.repeats)
    report.finish(given.output)


def count_random_requests(folder: Path, number: int) -> tuple[int, int]:
    """(requests whose plan and batch differ in tokens, requests that could be met)."""
    import oryx
    from oryx.errors import ConfigError

    _, processor = oryx.load("nano")
    rng = np.random.default_rng(0)
    clips = [write_clip(folder / f"{index}.mp4", *size) for index, size in enumerate(((96, 128), (270, 480)))]
    conversation = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": None}]
    wrong = planned = 0
    while planned < number:
        visual, budget = random_request(rng, clips)
        try:
            plan = processor.planner.forecast(processor.planner.spend([visual], budget))
        except ConfigError:
            continue
        batch = processor.encode_conversation(conversation, [visual], supervise=None, budget=budget)
        count = int((batch["input_ids"] == processor.image_token_id).sum())
        planned += 1
        wrong += count != plan.num_visual_tokens or (budget is not None and count > budget)
    return wrong, planned


def random_request(rng: np.random.Generator, clips: list[Path]) -> tuple[dict[str, Any], int | None]:
    """A visual of any kind with dials at random, and a budget or none."""
    budget = None if rng.random() < 0.4 else int(np.exp(rng.uniform(np.log(5), np.log(3000))))
    dials: dict[str, Any] = {}
    if rng.random() < 0.4:
        dials["compression"] = int(rng.choice([1, 2, 4, 8, 16]))
    if rng.random() < 0.3:
        dials["max_pixels"] = int(np.exp(rng.uniform(np.log(64), np.log(30_000))))
    kind = rng.choice(["image", "views", "video", "frames"])
    if kind == "image":
        if rng.random() < 0.5:
            dials["detail"] = str(rng.choice(["high", "low"]))
        return {"type": "image", "image": noise(rng, *rng.integers(1, 400, 2)), **dials}, budget
    if kind == "views":
        views = [noise(rng, *rng.integers(4, 300, 2)) for _ in range(rng.integers(1, 7))]
        return {"type": "views", "views": views, **dials}, budget
    if dials.get("compression") != 1 and rng.random() < 0.3:
        dials["focus"] = str(rng.choice(["auto", "1-3", "0"]))
    if kind == "frames":
        height, width = rng.integers(4, 300, 2)
        frames = [noise(rng, height, width) for _ in range(rng.integers(4, 9))]
        return {"type": "video", "video": frames, **dials}, budget
    if rng.random() < 0.5:
        dials["max_frames"] = int(rng.integers(1, 80))
    if rng.random() < 0.3:
        dials["fps"] = float(rng.uniform(0.3, 12))
    return {"type": "video", "video": str(clips[rng.integers(len(clips))]), **dials}, budget


def forecast_costs(folder: Path, film: Path, report: Any, repeats: int) -> None:
    """Memory and seconds of five unlike requests, each answered in fresh processes."""
    from oryx.cli.calibrate import calibrate_machine
    from oryx.cli.forecast import load_processor, make_planner, model_folder

    model = model_folder("nano")
    calibrate_machine(model, None, "auto", "auto")
    planner = make_planner(model)
    prompt = [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": None}]
    num_text = load_processor(model).count_text(prompt, 0)
    for name, visuals in unlike_requests(folder, film).items():
        plan = planner.forecast(visuals, num_text)
        command = [sys.executable, __file__, "--answer", json.dumps(visuals)]
        runs = []
        for _ in range(repeats):
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            runs.append(json.loads(output.splitlines()[-1]))
        memory = statistics.median(run["peak_bytes"] for run in runs)
        seconds = statistics.median(run["seconds"] for run in runs)
        assert plan.seconds is not None
        ratio = plan.peak_memory_bytes / memory
        report.add(f"{name}: peak memory, forecast / measured", ratio, "", "0.85 to 1.15", measured=memory)
        ratio = plan.seconds["total"] / seconds
        report.add(
            f"{name}: seconds, forecast / measured",
            ratio,
            "",
            "0.7 to 1.3",
            measured=seconds,
            forecast=plan.seconds,
        )


def unlike_requests(folder: Path, film: Path) -> dict[str, list[dict[str, Any]]]:
    rng = np.random.default_rng(1)
    noise(rng, 1000, 1500).resize((3000, 2000)).save(folder / "photo.jpg", quality=90)
    noise(rng, 100, 100).save(folder / "icon.png")
    views = []
    for index in range(24):
        views.append(str(folder / f"view{index}.jpg"))
        noise(rng, 120, 160).resize((1280, 960)).save(views[-1])
    small = write_clip(folder / "small.mp4", 96, 128, num_frames=2000)
    return {
        "an icon": [{"type": "image", "image": str(folder / "icon.png")}],
        "a 6 MP photo": [{"type": "image", "image": str(folder / "photo.jpg")}],
        "24 views of 1280x960": [{"type": "views", "views": views}],
        "64 frames of 10 minutes of 1080p": [{"type": "video", "video": str(film)}],
        "1,000 small frames at 16x": [
            {"type": "video", "video": str(small), "max_frames": 1000, "compression": 16}
        ],
    }


def answer(visuals: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds from the media to the first word in a process that has answered before, and its peak memory."""
    import oryx
    from oryx.engine.session import Session
    from oryx.evaluation.peak_memory import PeakMemory

    model, processor = oryx.load("nano")
    warm = Session(model, processor)
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    warm.add({"type": "image", "image": file.getvalue()})  # Pillow loads its readers at the first file
    warm.ask(QUESTION, max_new_tokens=1)
    began = time.perf_counter()
    session = Session(model, processor)
    for visual in visuals:
        session.add(visual)
    session.ask(QUESTION, max_new_tokens=1)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_bytes": PeakMemory("cpu").read()}


def noise(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def write_clip(path: Path, height: int, width: int, num_frames: int = 120) -> Path:
    """Something that moves, as H.264 with long distances between keyframes."""
    rng = np.random.default_rng(0)
    wide = np.asarray(noise(rng, height // 6, width // 3).resize((2 * width, height)))
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(num_frames):
            first = number * width // num_frames
            pixels = np.ascontiguousarray(wide[:, first : first + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
