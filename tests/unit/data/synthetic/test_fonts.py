"""Fonts: found by family, split without overlap, and never a hard need."""

import pytest
from PIL import ImageFont

from oryx.data.synthetic import fonts
from oryx.errors import ConfigError


@pytest.fixture
def no_system_fonts(monkeypatch):
    monkeypatch.setattr(fonts, "_system_folders", list)


@pytest.fixture
def folder(tmp_path):
    """A folder with Pillow's own font (family Aileron) in a subfolder, and a file that is no font."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.ttf").write_bytes(ImageFont.load_default(20).font_bytes)
    (tmp_path / "broken.otf").write_bytes(b"not a font")
    return str(tmp_path)


def test_train_and_test_share_no_family():
    assert not set(fonts.TRAIN_FAMILIES) & set(fonts.TEST_FAMILIES)
    assert len(fonts.TRAIN_FAMILIES) >= 30
    assert len(fonts.TEST_FAMILIES) >= 8


def test_finds_fonts_in_given_folders(no_system_fonts, folder):
    (font,) = fonts.find_fonts((folder,))
    assert font.family == "Aileron"
    assert fonts.choose_fonts(["Aileron"], folders=[folder]) == [font]
    assert fonts.load_font(font.path, 24).getlength("word") > 20


@pytest.mark.parametrize("split", ["train", "test"])
def test_missing_fonts_name_the_packages(no_system_fonts, tmp_path, split):
    with pytest.raises(
        ConfigError, match=rf"No {split} font is installed; .* packages fonts-.*\['default'\]"
    ):
        fonts.choose_fonts(split, folders=[str(tmp_path)])


def test_a_family_that_is_not_installed_is_named(no_system_fonts, folder):
    with pytest.raises(ConfigError, match="'Ailerons' is not installed; did you mean 'Aileron'"):
        fonts.choose_fonts(["Ailerons"], folders=[folder])
    with pytest.raises(ConfigError, match="'Zapf' is not installed"):
        fonts.choose_fonts(["Zapf"], folders=[folder])
    with pytest.raises(ConfigError, match="empty list"):
        fonts.choose_fonts([])


def test_a_font_folder_must_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"'font_folders' names '.*gone', which is not a folder"):
        fonts.choose_fonts(["default"], folders=[str(tmp_path / "gone")])


def test_plain_styles_come_first(no_system_fonts, monkeypatch):
    found = [
        fonts.FontFile("Roboto", "Bold", "1"),
        fonts.FontFile("Roboto", "Regular", "2"),
        fonts.FontFile("DejaVu Sans", "Bold", "3"),
        fonts.FontFile("DejaVu Sans", "Book", "4"),
        fonts.FontFile("DejaVu Sans", "Book", "5"),
        fonts.FontFile("Symbols", "Regular", "6"),
    ]
    monkeypatch.setattr(fonts, "find_fonts", lambda folders: tuple(found))
    assert [font.path for font in fonts.choose_fonts("train")] == ["4", "2", "3", "1"]
    assert [font.path for font in fonts.choose_fonts("train", num_fonts=2)] == ["4", "2"]
    assert [font.path for font in fonts.choose_fonts(["Roboto", "default"])] == ["2", "1", ""]
