"""Reading a store: selection, shared pictures, other processes, and what is no store."""

import pickle
import zipfile

import pytest
from PIL import Image

from oryx.data.pictures.store import Picture, PictureStore, mean_ink, write_store
from oryx.errors import ConfigError


def picture(name, style, split, number):
    return Picture(name, style, split, f"{number}.png", "source", "MIT", (1, 2, 3))


@pytest.fixture
def store(tmp_path):
    pictures = [
        picture("cat", "fluent-3d", "train", 0),
        picture("cat", "twemoji", "train", 1),
        picture("dog", "twemoji", "test", 2),
        picture("dog", "noto", "new_style", 3),
    ]
    entries = [(item, Image.new("RGBA", (8, 6), (i, i, i, 255))) for i, item in enumerate(pictures)]
    write_store(tmp_path / "pictures.zip", entries, {"side": 96})
    return PictureStore(tmp_path)


def test_selection(store):
    assert {name: len(found) for name, found in store.select("train").items()} == {"cat": 2}
    assert [p.file for p in store.select("train", styles=["twemoji"])["cat"]] == ["1.png"]
    assert store.select("test", names=["cat"]) == {}
    assert store.styles == ("fluent-3d", "noto", "twemoji")


def test_pictures_survive_pickling(store):
    copy = pickle.loads(pickle.dumps(store))
    image = copy.image(copy.pictures[2])
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGBA", (8, 6), (2, 2, 2, 255))


def test_ink_is_weighed_by_opacity():
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (0, 200, 0, 85))
    assert mean_ink(image) == (150, 50, 0)
    assert mean_ink(Image.new("RGBA", (2, 2))) == (0, 0, 0)


def test_what_is_no_store(tmp_path):
    with pytest.raises(
        ConfigError, match=r"No store of pictures at .*gone; `oryx data pictures .*gone --from FOLDER`"
    ):
        PictureStore(tmp_path / "gone")
    with pytest.raises(ConfigError, match="No store of pictures at"):
        PictureStore(tmp_path)
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(ConfigError, match="is no store of pictures"):
        PictureStore(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("index.json", '{"version": 99}')
    with pytest.raises(ConfigError, match="version 99, not 1"):
        PictureStore(tmp_path)
