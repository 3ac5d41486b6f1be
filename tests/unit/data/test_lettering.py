"""Words fit, and no letter stops a picture from being made."""

from PIL import Image, ImageDraw, ImageFont

from oryx.data.lettering import own_font, text_width, wrap, write


def test_lines_are_about_as_wide_as_wanted():
    font = own_font(13)
    text = "the quick brown fox jumps over the lazy dog " * 5
    lines = wrap(text, font, 200, 3)
    assert len(lines) == 3
    assert lines[-1].endswith("...")
    assert all(text_width(line, font) < 240 for line in lines)
    assert wrap("short\n text", font, 200, 3) == ["short text"]


def test_letters_that_a_font_lacks_are_replaced():
    bitmap = getattr(ImageFont, "load_default_imagefont", None)  # newer releases of Pillow
    for font in (own_font(13), *([bitmap()] if bitmap else [])):
        image = Image.new("RGB", (200, 30))
        write(ImageDraw.Draw(image), (0, 0), "Ä 一个 🎈 end", font, "white")
        assert image.getbbox() is not None
        assert text_width("一个", font) > 0
