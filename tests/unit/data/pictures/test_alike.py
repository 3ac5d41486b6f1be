"""Copies of a picture that is trained on are no test."""

from PIL import Image, ImageDraw

from oryx.data.pictures.alike import join_copies


def drawn(box, color="red", size=(96, 80)):
    image = Image.new("RGBA", size)
    ImageDraw.Draw(image).ellipse(box, fill=color)
    return image


ROUND, OTHER = drawn((0, 0, 95, 79)), drawn((30, 0, 60, 79))


def test_a_copy_is_trained_on_and_so_are_its_own_copies():
    images = [ROUND, drawn((1, 1, 95, 79)), drawn((1, 1, 93, 78), "#e00000"), OTHER, OTHER]
    splits = ["train", "test", "test", "test", "new_style"]
    joined = join_copies(["ball"] * 5, splits, images)
    assert joined == ["train", "train", "train", "test", "new_style"]


def test_pictures_of_other_things_and_styles_stay_where_they_are():
    splits = ["train", "test", "new_style", "test", "test"]
    assert join_copies(["a", "b", "a", "c", "c"], splits, [ROUND] * 5) == splits


def test_a_copy_in_another_colour_or_fainter_is_another_picture():
    images = [ROUND, drawn((0, 0, 95, 79), "blue"), drawn((0, 0, 95, 79), (255, 0, 0, 120))]
    assert join_copies(["a"] * 3, ["train", "test", "test"], images) == ["train", "test", "test"]
