"""Where visuals stand in a question."""

import pytest

from oryx.errors import AlignmentError
from oryx.processing.markers import with_markers


def test_visuals_stand_in_front_unless_markers_say_otherwise():
    assert with_markers("Why?", 0) == "Why?"
    assert with_markers("Why?", 2) == "<image>\n<image>\nWhy?"
    assert with_markers("Is <image> like <image>?", 2) == "Is <image> like <image>?"


def test_another_number_of_markers_is_refused():
    with pytest.raises(AlignmentError, match="1 <image> but 2 media"):
        with_markers("<image>?", 2)
