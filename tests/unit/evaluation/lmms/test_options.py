"""Letters of options, read without guessing."""

import pytest

from oryx.evaluation.lmms.options import read_first_letter, read_option

OPTIONS = {"A": "red", "B": "green frog", "C": "blue", "D": "cat"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        (" b", None),
        ("B.", "B"),
        ("(C)", "C"),
        ("Not (A) but (C).", "C"),
        ("A or B", "B"),
        ("Answer:B.", "B"),
        ("I think that it is the green frog there", "B"),
        ("green frog", None),  # too short to be more than a word that happens to be there
        ("it was red, then it was blue, I say", "C"),
        ("", None),
        ("no idea", None),
        ("E", None),
    ],
)
def test_read_option(answer, letter):
    assert read_option(answer, OPTIONS) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("The answer is B", "B"), ("Best option: (C)", "C"), ("D. A book", "D"), ("none", None), ("", None)],
)
def test_read_first_letter(answer, letter):
    assert read_first_letter(answer, "ABCD") == letter


def test_letters_that_are_no_options_are_passed_over():
    assert read_first_letter("E, or rather B", "ABC") == "B"
