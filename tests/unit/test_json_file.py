"""A settings file that is missing or damaged gets one sentence that names it."""

import pytest

from oryx.errors import CheckpointError
from oryx.json_file import read_json


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff\xfe"], ids=["empty", "torn", "list", "noise"])
def test_json_that_is_none(tmp_path, content):
    file = tmp_path / "config.json"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_json(file)


def test_json_that_is_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        read_json(tmp_path / "config.json")
