"""Letters of options, read without guessing."""

import pytest

from oryx.evaluation.lmms.options import read_option, score_option

OPTIONS = {"A": "red", "B": "green frog", "C": "blue", "D": "cat"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        (" b", None),
        ("B.", "B"),
        ("(C)", "C"),
        ("C) blue", "C"),
        ("**C**", "C"),
        ("C: red or (blue)", "C"),
        ("D.cat", "D"),
        ("D. A book about Vitamin C", "D"),
        ("Not (A) but (C).", "C"),
        ("A or B", "B"),
        ("A is right", "A"),
        ("E, or rather B", "B"),
        ("Answer:B.", "B"),
        ("The answer is 'B', I think", "B"),
        ("The answer is:\n\nB", "B"),
        ("I think that it is the green frog there", "B"),
        ("green frog", None),  # too short to be more than a word that happens to be there
        ("it was red, then it was blue, I say", "C"),
        ("it has scattered over the whole place", None),
        ("", None),
        ("no idea", None),
        ("E", None),
    ],
)
def test_read_option(answer, letter):
    assert read_option(answer, OPTIONS) == letter


@pytest.mark.parametrize(
    "answer",
    ["Cannot tell", "Dunno.", "It is a bird.", "A bird", "A Boeing", "NBA", "C'est ça", "A-frame", "U.S.A."],
)
def test_a_letter_inside_a_word_or_an_article_names_nothing(answer):
    assert read_option(answer, OPTIONS) is None


def test_the_pronoun_names_nothing():
    assert read_option("I see", "ABCDEFGHI") is None
    assert read_option("I", "ABCDEFGHI") == "I"


def test_letters_alone_are_looked_for_where_texts_are_not_known():
    assert read_option("(B", "ABC") == "B"
    assert read_option("it is the red one of all these", "ABC") is None
    assert read_option("it is the red one of all these", {"A": "", "B": "blue"}) is None


def test_a_task_of_lmms_eval_scores_the_letter_that_was_read():
    def score(doc, results):
        return {"acc": float(results[0] == doc["answer"])}

    doc = {"answer": "C"}
    assert score_option(score, doc, ["(C) blue"], OPTIONS) == {"acc": 1, "unparsed": 0}
    assert score_option(score, doc, ["Cannot tell"], OPTIONS) == {"acc": 0, "unparsed": 1}
    assert score_option(lambda doc, results: {"said": results}, doc, [""], OPTIONS)["said"] == [""]
