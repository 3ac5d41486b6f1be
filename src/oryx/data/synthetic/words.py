"""Words to draw, English or of random letters, split once and for all into train and test."""

import functools
import random
import zlib
from importlib import resources

from oryx.errors import ConfigError

# Per mille in English text, the rare letters raised so that each is seen often enough to be learnt.
_LETTERS = {
    "a": 75, "b": 25, "c": 35, "d": 40, "e": 95, "f": 28, "g": 28, "h": 45, "i": 65, "j": 18, "k": 22,
    "l": 45, "m": 32, "n": 60, "o": 65, "p": 28, "q": 17, "r": 58, "s": 58, "t": 70, "u": 32, "v": 22,
    "w": 28, "x": 18, "y": 28, "z": 18,
}  # fmt: skip
_ALPHABET = tuple(_LETTERS)
_WEIGHTS = tuple(_LETTERS.values())

DICTIONARY_LENGTHS = (3, 6)


def word_split_of(word: str) -> str:
    """ "test" for every tenth string, by a hash that never changes; else, and below 3 letters, "train"."""
    return "test" if len(word) >= 3 and zlib.crc32(word.encode()) % 10 == 0 else "train"


def check_letters(words: str, letters: tuple[int, int]) -> None:
    """Raises `ConfigError` for lengths that the dictionary does not hold, where only it is drawn from."""
    shortest, longest = DICTIONARY_LENGTHS
    if words == "dictionary" and not shortest <= letters[0] <= letters[1] <= longest:
        raise ConfigError(
            f"Setting 'letters' is {letters!r}; with words: dictionary it must lie in {shortest} to "
            f"{longest}."
        )


def draw_word(rng: random.Random, letters: tuple[int, int], kind: str, split: str) -> str:
    """One lower-case word of `letters` (min, max), each length equally likely.

    `kind` is "random", "dictionary" or "mixed" (half and half). `split` "train" never gives a word of "test"
    and the other way round; below 3 letters there is one pool for both.
    """
    length = rng.randint(*letters)
    shortest, longest = DICTIONARY_LENGTHS
    listed = kind != "random" and shortest <= length <= longest
    if listed and (kind == "dictionary" or rng.random() < 0.5):
        return rng.choice(_dictionary()[split, length])
    while True:
        word = "".join(rng.choices(_ALPHABET, _WEIGHTS, k=length))
        if length < shortest or word_split_of(word) == split:
            return word


@functools.cache
def _dictionary() -> dict[tuple[str, int], tuple[str, ...]]:
    """The words of words.txt by split and length."""
    text = resources.files(__package__).joinpath("words.txt").read_text(encoding="ascii")
    words: dict[tuple[str, int], list[str]] = {}
    for word in text.split():
        words.setdefault((word_split_of(word), len(word)), []).append(word)
    return {key: tuple(value) for key, value in words.items()}
