"""Pieces of an answer: together the whole text, cut at the first stop text, never half a character."""

import pytest
from factories import make_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from oryx.serving.engine import Piece, Sampling
from oryx.serving.engines.answer_text import AnswerText, Detokenizer, StopFinder

TOKENIZER = make_tokenizer()  # every byte is a token
END = TOKENIZER.eos_token_id


def sentencepiece_like():
    """Words with a mark for their space, and bytes for what has no word, as in Yi's vocabulary."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁a", "▁b", "c", "▁"]
    tokenizer = Tokenizer(
        models.BPE({piece: index for index, piece in enumerate(pieces)}, [], unk_token="<unk>")
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False)


def pieces_of(ids, tokenizer=TOKENIZER):
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.put(token) for token in ids), detokenizer.end()]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_pieces_are_the_text_and_no_piece_is_half_a_character(text):
    ids = TOKENIZER.encode(text)
    pieces = pieces_of(ids)
    assert "".join(pieces) == text
    if "\N{REPLACEMENT CHARACTER}" not in text:
        assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@given(st.lists(st.integers(0, len(TOKENIZER) - 1)))
def test_pieces_of_any_ids_are_the_text_of_all_ids(ids):
    assert "".join(pieces_of(ids)) == TOKENIZER.decode(ids, skip_special_tokens=True)


@given(st.lists(st.one_of(st.sampled_from(["▁a", "▁b", "c", "▁"]), st.characters(exclude_categories=["Cs"]))))
def test_pieces_of_words_with_marked_spaces_are_the_text_of_all_ids(parts):
    tokenizer = sentencepiece_like()
    known = tokenizer.get_vocab()
    ids = []
    for part in parts:
        ids += [known[part]] if part in known else [known[f"<0x{byte:02X}>"] for byte in part.encode()]
    assert "".join(pieces_of(ids, tokenizer)) == tokenizer.decode(ids, skip_special_tokens=True)


def test_text_is_told_as_soon_as_it_is_certain():
    assert pieces_of(TOKENIZER.encode("aé")) == ["a", "", "é", ""]


@given(st.text("abc", max_size=20), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), st.data())
def test_the_text_ends_before_the_stop_text_that_is_complete_first(text, stop, data):
    finder = StopFinder(stop)
    told, rest = "", text
    while rest and not finder.is_found:
        length = data.draw(st.integers(1, len(rest)))
        told += finder.put(rest[:length])
        rest = rest[length:]
        # Only what could turn out to be the beginning of a stop text is held back.
        arrived = text[: len(text) - len(rest)]
        begins = [arrived.endswith(s[:n]) and n for s in stop for n in range(1, len(s))]
        if not finder.is_found:
            assert len(arrived) - len(told) == max(begins, default=0)
    told += finder.end()
    found = [(text.find(s) + len(s), text.find(s)) for s in stop if s in text]
    assert finder.is_found == bool(found)
    assert told == (text[: min(found)[1]] if found else text)


def answer(text, ids=None, **settings):
    """All pieces of an answer whose last token is the last of `ids`."""
    ids = TOKENIZER.encode(text) if ids is None else ids
    made = AnswerText(TOKENIZER, Sampling(**settings), [END])
    pieces = []
    for number, token in enumerate(ids):
        piece = made.put([token], number == len(ids) - 1)
        if piece:
            pieces.append(piece)
        if made.is_finished:
            break
    return pieces


def test_an_end_token_is_no_text_and_is_counted():
    assert answer("", [*TOKENIZER.encode("ok"), END]) == [Piece("o", 1), Piece("k", 1), Piece("", 1, "stop")]


def test_an_answer_that_is_cut_off_says_so():
    assert answer("ok") == [Piece("o", 1), Piece("k", 1, "length")]


def test_an_end_token_that_is_ignored_ends_nothing():
    ids = [*TOKENIZER.encode("a"), END]
    assert answer("", ids, ignore_eos=True)[-1] == Piece("", 1, "length")


def test_held_back_text_is_counted_with_the_piece_that_tells_it():
    assert answer("one.", stop=("eve",)) == [
        Piece("o", 1),
        Piece("n", 1),
        Piece("e.", 2, "length"),
    ]


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it():
    pieces = answer("no, stop it", stop=(" stop",))
    assert "".join(piece.text for piece in pieces) == "no,"
    assert pieces[-1].finish_reason == "stop"
    assert sum(piece.num_tokens for piece in pieces) == len("no, stop")


def test_the_beginning_of_a_stop_text_at_the_end_is_text():
    pieces = answer("no st", stop=(" stop",))
    assert "".join(piece.text for piece in pieces) == "no st"
    assert pieces[-1].finish_reason == "length"


def test_half_a_character_at_the_end_is_told_as_such():
    half = TOKENIZER.encode("é")[:1]
    assert answer("", half) == [Piece("\N{REPLACEMENT CHARACTER}", 1, "length")]


@pytest.mark.parametrize("stop", [(), ("x",)])
def test_tokens_that_came_together_are_one_piece(stop):
    made = AnswerText(TOKENIZER, Sampling(stop=stop), [END])
    assert made.put(TOKENIZER.encode("abc"), False) == Piece("abc", 3)
    piece = made.put([*TOKENIZER.encode("dxe"), END], True)
    assert piece == (Piece("d", 2, "stop") if stop else Piece("dxe", 4, "stop"))
