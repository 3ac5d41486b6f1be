"""What tasks ask of generation."""

import pytest

from oryx.errors import ConfigError
from oryx.evaluation.lmms.generation import MAX_NEW_TOKENS, Generation


def test_greedy_unless_a_temperature_says_otherwise():
    greedy = Generation.read({"max_new_tokens": 16, "temperature": 0.0, "top_p": 1.0, "num_beams": 1})
    assert greedy.arguments() == {"max_new_tokens": 16, "do_sample": False, "num_beams": 1}
    sampled = Generation.read({"temperature": 0.2, "top_p": 0.9}).arguments()
    assert sampled == {
        "max_new_tokens": MAX_NEW_TOKENS,
        "do_sample": True,
        "temperature": 0.2,
        "top_p": 0.9,
        "num_beams": 1,
    }


def test_sampling_can_be_switched_on_and_off():
    assert Generation.read({"do_sample": True}).arguments()["temperature"] == 1.0
    assert Generation.read({"do_sample": False}).arguments()["do_sample"] is False


def test_a_temperature_comes_before_the_switch():
    """As in the reference's adapters; lmms-eval's `--gen_kwargs temperature=0.7` leaves the task's switch."""
    assert Generation.read({"do_sample": False, "temperature": 0.7}).arguments()["temperature"] == 0.7
    assert Generation.read({"do_sample": True, "temperature": 0}).arguments()["do_sample"] is False


def test_beams_and_aliases():
    read = Generation.read(
        {"num_beams": 4, "max_gen_toks": 9, "image_aspect_ratio": "original", "top_k": None}
    )
    assert read.arguments() == {"max_new_tokens": 9, "do_sample": False, "num_beams": 4}


def test_answers_end_at_the_first_stop():
    read = Generation.read({"until": ["ASSISTANT:", "\n\n"]})
    assert read.cut(" A\n\nB ASSISTANT: C") == "A\n\nB"
    assert Generation.read({"until": "stop"}).cut("go stop go") == "go"
    assert Generation.read({"until": ["\n\n"]}).until == ()


def test_alike_requests_compare_equal():
    one = {"until": ["x"], "temperature": 0, "top_p": 1.0}
    assert Generation.read(one) == Generation.read(dict(one))
    assert hash(Generation.read(one))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"max_new_token": 5}, "no 'max_new_token' for this model; allowed: max_new_tokens,"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": "hot"}, "temperature 'hot'; both must be numbers"),
        ({"max_new_tokens": "few"}, "max_new_tokens is 'few'"),
    ],
)
def test_a_wrong_argument_is_a_sentence(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Generation.read(arguments)
