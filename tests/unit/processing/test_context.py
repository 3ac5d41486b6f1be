"""What generation can take, and what it refuses."""

from types import SimpleNamespace

import pytest

from oryx.errors import ConfigError
from oryx.processing.context import advice, check_context, check_sampling, context_limit


def test_a_prompt_and_answer_that_fill_the_context_fit():
    check_context(4000, 96, 4096)
    check_context(10**9, 1, None)


def test_one_token_more_is_refused_with_all_numbers():
    with pytest.raises(ConfigError, match=r"4,000 tokens .* take 97, together 4,097, .* at most 4,096"):
        check_context(4000, 97, 4096)


def test_the_caller_names_its_own_dials():
    with pytest.raises(
        ConfigError, match=r"at most 4,096: give a budget, raise compression, or lower max_fr"
    ):
        check_context(4000, 97, 4096)
    with pytest.raises(ConfigError, match=r"at most 4,096: read less\.$"):
        check_context(4000, 97, 4096, "read less")


def test_text_alone_has_no_dials_to_turn():
    assert advice(False) == "shorten the text or lower max_new_tokens"
    assert advice(False, answer="") == "shorten the text"
    assert advice(True, answer="").endswith("lower max_frames or max_pixels")
    assert advice(True, "max_tokens").endswith("lower max_frames, max_pixels or max_tokens")


@pytest.mark.parametrize("limit", [None, 0, "many"])
def test_a_config_without_a_limit(limit):
    assert context_limit(SimpleNamespace(max_position_embeddings=limit)) is None
    assert context_limit(SimpleNamespace()) is None


def test_a_config_with_a_limit():
    assert context_limit(SimpleNamespace(max_position_embeddings=4096)) == 4096


@pytest.mark.parametrize(
    ("num_new", "temperature", "named"),
    [
        (0, 0.0, "max_new_tokens is 0"),
        (1, -1.0, "is -1"),
        (1, float("nan"), "is nan"),
        (1, float("inf"), "is inf"),
    ],
)
def test_sampling_out_of_range(num_new, temperature, named):
    with pytest.raises(ConfigError, match=named):
        check_sampling(num_new, temperature)
