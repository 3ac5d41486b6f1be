"""How an answer may be chosen, in every engine."""

import pytest

from oryx.errors import ConfigError
from oryx.serving.engine import Sampling, check_sampling


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0; at least 1"),
        ({"temperature": -0.1}, "temperature is -0.1; 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"top_p": 0.0}, "top_p is 0.0; a number above 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_k": -1}, "top_k is -1; 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0; a number from 0.01 to 100"),
        ({"repetition_penalty": 1e9}, "repetition_penalty is 1000000000.0"),
        ({"seed": 2**63}, "seed is 9223372036854775808; a whole number of 64 bits"),
        ({"stop": ("x", "")}, "a stop text is empty"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_sampling(Sampling(**settings))


def test_settings_in_range_are_not():
    check_sampling(Sampling())
    check_sampling(
        Sampling(1, 2.0, 0.1, 5, 1.3, ("stop",), -(2**63), True),
    )
