"""Words: lengths, alphabet, and a split that never leaks."""

import random
from importlib import resources

import pytest

from oryx.data.synthetic.words import draw_word, word_split_of

WORDS = resources.files("oryx.data.synthetic").joinpath("words.txt").read_text().split()


def test_listed_words_are_lower_case_of_three_to_six_letters():
    assert len(WORDS) > 10_000
    assert all(3 <= len(word) <= 6 and word.isascii() and word.isalpha() and word.islower() for word in WORDS)
    notice = resources.files("oryx.data.synthetic").joinpath("words.NOTICE.txt").read_text()
    assert "Kevin Atkinson" in notice


def test_split_is_stable_and_holds_a_tenth():
    # Fixed examples: a changed hash would move words that models were tested on into training.
    assert [word_split_of(word) for word in ("house", "cat", "ab", "q")] == ["train"] * 4
    assert [word_split_of(word) for word in ("hello", "water", "dowry", "punts")] == ["test"] * 4
    share = sum(word_split_of(word) == "test" for word in WORDS) / len(WORDS)
    assert 0.08 < share < 0.12


@pytest.mark.parametrize("kind", ["random", "dictionary", "mixed"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_words_keep_to_length_and_split(kind, split):
    rng = random.Random(1)
    words = [draw_word(rng, (3, 6), kind, split) for _ in range(400)]
    assert {len(word) for word in words} == {3, 4, 5, 6}
    assert {word_split_of(word) for word in words} == {split}
    listed = sum(word in set(WORDS) for word in words)
    assert {"random": listed < 100, "dictionary": listed == 400, "mixed": 100 < listed < 320}[kind]


def test_short_words_are_random_letters():
    rng = random.Random(2)
    words = {draw_word(rng, (1, 1), "mixed", "test") for _ in range(600)}
    assert words == set("abcdefghijklmnopqrstuvwxyz")
