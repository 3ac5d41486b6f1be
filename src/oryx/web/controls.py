"""The dials of one setting, as Gradio's controls."""

from __future__ import annotations

from typing import Any

import gradio as gr

from oryx.processing.geometry import REGIONS, ResizeRule
from oryx.processing.visuals import FEW_FRAMES
from oryx.web.settings import AUTO, LONGEST_ANSWER, NAMES, widest_side

OF_VIDEOS = ("max_frames", "focus", "fps", "extras")
"""Controls that turn nothing where there is no video."""


def make_dials(lane: str, rule: ResizeRule | None, most_frames: int) -> dict[str, Any]:
    """Draw the controls of a lane where this is called; by name."""
    widest, least = widest_side(rule), (rule or ResizeRule()).patch_size * 2
    dials: dict[str, Any] = {}
    dials["compression"] = gr.Radio(
        [AUTO, *((f"{ratio}x", str(ratio)) for ratio in REGIONS)],
        value=AUTO,
        label="Compression",
        info="Patches that become one token",
        elem_id=f"compression-{lane}",
        elem_classes="segments",
    )
    dials["max_frames"] = gr.Slider(
        1,
        most_frames,
        value=min(FEW_FRAMES, most_frames),
        step=1,
        label="Max frames",
        buttons=[],
        visible=False,
        elem_id=f"frames-{lane}",
    )
    dials["side"] = gr.Slider(
        least,
        widest,
        value=widest,
        step=(rule or ResizeRule()).patch_size // 2 or 1,
        label="Max resolution, pixels a side",
        buttons=[],
        elem_id=f"side-{lane}",
    )
    with gr.Row(elem_classes="budget"):
        for name, label in (
            ("tokens", "Max tokens"),
            ("memory", "Max GB"),
            ("seconds", "Max seconds"),
        ):
            dials[name] = _amount(label, "no limit", f"{name}-{lane}")
    with gr.Accordion("More dials", open=False, elem_classes="more", elem_id=f"more-{lane}"):
        dials["focus"] = gr.Textbox(
            label="Focus",
            info="Where a video gets more of its tokens",
            placeholder="0:02-0:04, frames 10-20, or auto",
            max_length=200,
            visible=False,
            elem_id=f"focus-{lane}",
            html_attributes=gr.InputHTMLAttributes(spellcheck=False, autocomplete="off"),
        )
        dials["fps"] = _amount("Frames a second", "spread evenly", f"fps-{lane}", visible=False)
        dials["detail"] = gr.Radio(
            [("overview and native", "high"), ("overview alone", "low")],
            value="high",
            label="Views of a picture",
            elem_id=f"detail-{lane}",
        )
        dials["extras"] = gr.CheckboxGroup(
            [("times in the prompt", "timestamps"), ("nearest keyframes", "keyframes")],
            label="Videos",
            visible=False,
            elem_id=f"extras-{lane}",
        )
        dials["prompt_style"] = gr.Radio(
            [("the model's", "own"), "train", "eval"],
            value="own",
            label="Prompt style",
            elem_id=f"style-{lane}",
        )
        dials["max_new_tokens"] = gr.Slider(
            1,
            LONGEST_ANSWER,
            value=256,
            step=1,
            label="Longest answer, tokens",
            buttons=[],
            elem_id=f"longest-{lane}",
        )
        dials["temperature"] = gr.Slider(
            0, 2, value=0, step=0.1, label="Temperature", buttons=[], elem_id=f"temperature-{lane}"
        )
    assert tuple(sorted(dials)) == tuple(sorted(NAMES))
    return dials


def _amount(label: str, empty: str, elem_id: str, visible: bool = True) -> gr.Textbox:
    """A number that may be left out, which Gradio's own cannot."""
    return gr.Textbox(
        label=label,
        placeholder=empty,
        max_length=20,
        lines=1,
        max_lines=1,
        min_width=90,
        visible=visible,
        elem_id=elem_id,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
    )
