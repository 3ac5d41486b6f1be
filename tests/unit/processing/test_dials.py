"""Dials are checked without a medium; each message is of the place that has the range."""

import pytest

from oryx.errors import ConfigError
from oryx.processing.dials import check_dials

UNTURNED = dict.fromkeys(("compression", "detail", "max_frames", "fps", "max_pixels", "focus"))


def test_dials_that_can_be():
    check_dials(**UNTURNED)
    check_dials(compression=16, detail="low", max_frames=1, fps=0.5, max_pixels=1024, focus="auto")


@pytest.mark.parametrize(
    ("dial", "value"),
    [
        ("compression", 3),
        ("detail", "middle"),
        ("max_frames", 0),
        ("fps", 0.0),
        ("max_pixels", 0),
        ("focus", "later"),
    ],
)
def test_each_is_refused_by_name(dial, value):
    with pytest.raises(ConfigError, match=dial):
        check_dials(**{**UNTURNED, dial: value})
