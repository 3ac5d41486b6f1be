"""Fixtures of the reference: tiny checkpoints in the published layouts, and what it computes with them."""

import json
from pathlib import Path

from PIL import Image

REFERENCE = Path(__file__).parent / "parity" / "reference"
NAMES = ("oryx-tiny-qwen", "oryx-tiny-llama")
RATIOS = {"image": 1, "video": 4, "video_long": 16}


def read_cases(name: str) -> list[dict]:
    return json.loads((REFERENCE / name / "cases.json").read_text())


def read_visuals(name: str, case: dict) -> list[dict]:
    visuals = []
    for index in range(case["num_visuals"]):
        files = sorted((REFERENCE / name / "visuals").glob(f"{case['name']}.{index}.*.png"))
        frames = [Image.open(file).convert("RGB") for file in files]
        if case["modality"] == "image":
            visuals.append({"type": "image", "image": frames[0]})
        else:
            visuals.append({"type": "video", "video": frames, "compression": RATIOS[case["modality"]]})
    return visuals
