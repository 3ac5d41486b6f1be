"""What is no caption, and what is one although it looks a little odd."""

import pytest

from oryx.data.builders.needle.answers import MAX_WORDS, find_fault


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("Sorry. The image is not visible.", "refusal"),
        ("I cannot see any image.", "refusal"),
        ("As an AI language model, I do not have eyes.", "refusal"),
        ("Please provide the picture.", "refusal"),
        ("No image.", "refusal"),
        ("No image was provided, so I cannot tell.", "refusal"),
        ("No images have been shared with me.", "refusal"),
        ("No image data was received.", "refusal"),
        ("word " * 40, "loop"),
        ("the cat sat on the mat and " * 5, "loop"),
        ("a dog " * 3 + "dog dog dog dog dog dog", "loop"),
        ("{}[]!!! 12345 ?? 88", "no words"),
        ("A man <image> with a hat.", "marker"),
        ("Frame <idx1> shows a man.", "marker"),
        ("A man.<|im_end|>", "marker"),
        ("A man smiles. \ud83d", "broken text"),
    ],
)
def test_nonsense_is_named(answer, fault):
    assert find_fault(answer) == fault


def test_too_long():
    words = [f"word{number}" for number in range(MAX_WORDS)]
    assert find_fault(" ".join(words)) is None
    assert find_fault(" ".join([*words, "more"])) == "too long"
    assert find_fault("x" * 12 * MAX_WORDS + "x") == "too long"


@pytest.mark.parametrize(
    "answer",
    [
        "red circle",
        "Sorry-looking dog sits in the rain beside a fence.",
        "No image of a person is on the wall, which is bare.",
        "A sign says: I am sorry, we are closed.",
        "The scoreboard reads 24:17, and players in red celebrate.",
        "In the first frame a dog lies on the floor; in the second frame the dog has got up.",
        "Ein Mann steht vor einem Haus.",
        "一个男人站在房子前面。",
        "A very, very, very tall tower.",
        "A tag <b> on a screen of code.",
    ],
)
def test_captions_pass(answer):
    assert find_fault(answer) is None
