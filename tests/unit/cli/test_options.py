"""Numbers as they are written on the command line."""

import pytest

from oryx.cli.options import parse_range, parse_size
from oryx.errors import ConfigError


def test_ranges():
    assert parse_range("192-256", "frames") == (192, 256)
    assert parse_range(" 6 ", "frames") == (6, 6)
    for text in ("many", "4-", "-4", "4x8", ""):
        with pytest.raises(ConfigError, match=r"frames is .*; it must be MIN-MAX or one number"):
            parse_range(text, "frames")


def test_sizes():
    assert parse_size("32x48", "frame-size") == parse_size("32X48", "frame-size") == (32, 48)
    assert parse_size("64", "frame-size") == (64, 64)
    for text in ("big", "32x", "32-48", ""):
        with pytest.raises(ConfigError, match=r"frame-size is .*; it must be HEIGHTxWIDTH or one number"):
            parse_size(text, "frame-size")
