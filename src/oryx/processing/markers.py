"""Where visuals stand in a question: `<image>`, one for each. Nothing here needs torch or a tokenizer."""

from oryx.errors import AlignmentError

IMAGE_MARKER = "<image>"
"""Stands for one visual of any kind."""
TEXT_TYPES = ("text", "input_text", "output_text")
"""Types of the parts of a chat message that are text; every other part is a visual."""


def with_markers(question: str, num_visuals: int) -> str:
    """The question as the model reads it: every visual in front, unless `<image>` says where each stands.

    Raises:
        AlignmentError: `<image>` is written more or less often than there are media.
    """
    count = question.count(IMAGE_MARKER)
    if not count:
        return f"{IMAGE_MARKER}\n" * num_visuals + question
    if count != num_visuals:
        raise AlignmentError(
            f"the question has {count} {IMAGE_MARKER} but {num_visuals} media came with it; "
            "write it once for each, or leave it out."
        )
    return question
