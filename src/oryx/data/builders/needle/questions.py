"""Wordings: what the records ask about `<idx>`, `<idx1>`, `<idx2>`, and what the captioner is told.

The reader of the records puts the published sentence before the question, which says how many frames there
are; the places are filled in when the target frames have found theirs.
"""

from __future__ import annotations

import random

from oryx.data.sources.needle import CAPTION, DIFFERENCE

QUESTIONS = {
    CAPTION: (
        "Describe frame <idx> of the video.",
        "What does frame <idx> show?",
        "What can be seen in frame <idx>? Describe it.",
        "Please give a caption of the frame with index <idx>.",
        "Describe the contents of frame <idx>, counting from 0.",
        "What is in the frame with index <idx>?",
    ),
    DIFFERENCE: (
        "What is the difference between frame <idx1> and frame <idx2>?",
        "How do frame <idx1> and frame <idx2> differ?",
        "Describe how frame <idx2> differs from frame <idx1>.",
        "Compare the frames with the indices <idx1> and <idx2>: what is different?",
        "What is different in frame <idx2>, compared with frame <idx1>, counting from 0?",
    ),
}

PROMPTS = {
    CAPTION: (
        "Describe this picture in two or three sentences: who or what is seen, where, and what is happening. "
        "Name what is particular to it. Say only what can be seen, and do not mention a picture or a frame."
    ),
    DIFFERENCE: (
        "These are two frames of one video, the first one earlier. Say in two or three sentences how the "
        "second frame differs from the first: places, people, things, actions, colours. Call them "
        '"the first frame" and "the second frame". Say only what can be seen.'
    ),
}


def draw_question(task: str, rng: random.Random) -> str:
    """A question of the task in one of its wordings, places unfilled."""
    return rng.choice(QUESTIONS[task])
