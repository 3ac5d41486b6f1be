"""What may be chosen."""

import json

import pytest

from oryx.data.builders.correspondence.settings import MarkSettings
from oryx.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"source": "magic"}, "source is 'magic'; allowed: auto, masks, boxes, sam2, features"),
        ({"choose": "best"}, "choose is 'best'; allowed: even, coverage"),
        ({"format": "gif"}, "format is 'gif'; allowed: jpg, png"),
        ({"objects": 0}, "objects is 0; a whole number of at least 1"),
        ({"objects": 100}, "at most 99"),
        ({"views": True}, "views is True"),
        ({"candidates": 0}, "candidates is 0"),
        ({"min_views": 0}, "min_views is 0"),
        ({"views": 1}, "views is 1 and min_views 2; an object cannot be seen in more views than are kept"),
        ({"views": 3, "min_views": 4}, "views is 3 and min_views 4"),
        ({"mark_size": 8}, "at least 9"),
        ({"mark_size": 12, "objects": 10}, "numbers above 9 need at least 13 pixels"),
        ({"max_side": 8}, "at least 32"),
        ({"min_share": 1.0}, "min_share is 1.0"),
        ({"source": "sam2"}, "needs weights"),
        ({"boxes": "/data/boxes.json"}, "boxes is /data/boxes.json; a name or pattern inside each scene"),
    ],
)
def test_out_of_range(given: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        MarkSettings(**given)


def test_what_json_keeps_is_what_the_result_depends_on() -> None:
    kept = MarkSettings(exclude=("wall",), device="cuda").to_dict()
    assert json.loads(json.dumps(kept)) == kept
    assert kept["exclude"] == ["wall"]
    assert "device" not in kept


def test_a_single_view_where_one_is_enough() -> None:
    assert MarkSettings(views=1, min_views=1).views == 1
