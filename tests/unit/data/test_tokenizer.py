"""Known words are one token, all others are spelled, and every text comes back as it was."""

import pytest

from oryx.data.tokenizer import ROLES, spelling_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return spelling_tokenizer(["Where is the hot circle?"] * 2 + ["once rare"])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Where is the circle", ["Where", "Ġis", "Ġthe", "Ġcircle"]),
        ("hot", ["h", "o", "t"]),  # a bare word is spelled even where the spaced one is known
        (" hotel", ["Ġ", "h", "o", "t", "e", "l"]),  # no token for a part of it
        ("hot hot\nhot", ["h", "o", "t", "Ġhot", "Ċ", "h", "o", "t"]),
        (" rare", ["Ġ", "r", "a", "r", "e"]),
        ("The 12", ["T", "h", "e", "Ġ", "1", "2"]),
    ],
)
def test_tokens(tokenizer, text, tokens):
    assert tokenizer.tokenize(text) == tokens
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_text_it_never_saw_survives(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    for text in ("Ünïcödé 🐱", "Where  is\n\nit?", "<|im_start|>user"):
        assert again.decode(again(text)["input_ids"]) == text
    assert again.get_vocab() == tokenizer.get_vocab()
    assert all(len(again.tokenize(role)) == 1 for role in ROLES)
