"""Views come in natural order; a folder or a list without a picture is one sentence."""

from pathlib import Path

import pytest
from PIL import Image

from oryx.errors import MediaError
from oryx.media.views import list_views


def test_a_folder_lists_its_pictures_in_natural_order(tmp_path: Path):
    for name in ("view10.png", "view2.PNG", "View1.jpg", "b.webp", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "inner.png").mkdir()
    names = [view.name for view in list_views(tmp_path)]
    assert names == ["b.webp", "View1.jpg", "view2.PNG", "view10.png"]
    assert [view.name for view in list_views(str(tmp_path))] == names


def test_names_that_begin_with_numbers_and_with_letters_sort_together(tmp_path: Path):
    for name in ("10.png", "9.png", "a.png", "007.png"):
        (tmp_path / name).write_bytes(b"x")
    assert [view.name for view in list_views(tmp_path)] == ["007.png", "9.png", "10.png", "a.png"]


def test_a_list_keeps_its_order():
    views = [Path("b.png"), "a.png", Image.new("RGB", (2, 2)), b"bytes"]
    assert list_views(views) == views
    assert list_views(tuple(views)) == views


@pytest.mark.parametrize(
    ("source", "reason"),
    [([], "at least 1"), ([3], "view 0 is of type int"), (b"bytes", "not bytes"), (5, "not int")],
)
def test_a_list_of_something_else_is_one_sentence(source, reason: str):
    with pytest.raises(MediaError, match=reason):
        list_views(source)


def test_a_folder_without_pictures_is_one_sentence(tmp_path: Path):
    with pytest.raises(MediaError, match="has no picture; at least 1"):
        list_views(tmp_path)
    with pytest.raises(MediaError, match="does not exist"):
        list_views(tmp_path / "missing")
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(MediaError, match="is not a folder"):
        list_views(tmp_path / "a.png")
