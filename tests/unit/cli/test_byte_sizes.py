"""Sizes in bytes are read as people write them."""

import pytest

from oryx.cli.byte_sizes import parse_bytes
from oryx.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64MiB", 64 * 2**20), ("1.5 GB", 15 * 10**8), ("100", 100), ("2kb", 2000), ("1TB", 10**12)],
)
def test_sizes(text, expected):
    assert parse_bytes(text, "--max-body") == expected


@pytest.mark.parametrize("text", ["", "0", "0.5", "MB", "-1MB", "1XB", "1e3", "9" * 400 + "GB"])
def test_sizes_that_are_none(text):
    with pytest.raises(ConfigError, match=r"--max-body is '.*'; it must be a size such as 64MiB or 500MB"):
        parse_bytes(text, "--max-body")
