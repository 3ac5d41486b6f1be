import pytest
from transformers import AutoTokenizer

from oryx.data.tokenizer import spelling_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return spelling_tokenizer(["Where is the red circle?"] * 2)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Where is the red circle?", ["Where", "Ġis", "Ġthe", "Ġred", "Ġcircle", "?"]),
        ("circle", list("circle")),
        ("a reddish circ", ["a", "Ġ", *"reddish", "Ġ", *"circ"]),
        ("red 17", ["r", "e", "d", "Ġ", "1", "7"]),
    ],
    ids=["listed words", "a bare word", "words that only begin like listed ones", "digits"],
)
def test_a_listed_word_is_one_token_and_any_other_is_spelled(tokenizer, text, tokens):
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == tokens
    assert tokenizer.decode(ids) == text


def test_it_is_the_same_after_saving(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "<|im_start|>user\nWhere is the reddest circle?<|im_end|>\n"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text


def test_rare_words_are_not_listed():
    tokenizer = spelling_tokenizer(["a cat", "a dog", "a dog"], min_count=2)
    assert "Ġdog" in tokenizer.get_vocab()
    assert "Ġcat" not in tokenizer.get_vocab()
