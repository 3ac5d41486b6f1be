"""Building a store: what is found, how it is cut and split, and that nothing half done is left."""

import json

import pytest
from PIL import Image

from oryx.data.pictures import PictureStore, load_names
from oryx.data.pictures.build import Found, build_store, split_pictures, thumbnail
from oryx.data.pictures.sources import STYLES
from oryx.errors import ConfigError, MediaError


def test_a_store_of_what_is_there(packages, tmp_path):
    seen = []
    made = build_store(tmp_path / "out", [packages], partial=True, progress=lambda *args: seen.append(args))
    store = PictureStore(tmp_path / "out")
    assert list(store.pictures) == made
    assert seen[-1] == ("dog", len(made), len(made))
    assert [(p.name, p.style) for p in made] == [
        ("cat", "fluent-3d"),
        ("cat", "twemoji"),
        *[("cat", "clipart")] * 5,
        ("cat", "noto"),
        ("dog", "fluent-3d"),
        ("dog", "twemoji"),
        ("dog", "noto"),
    ]
    assert {p.licence for p in made} == {"MIT", "CC-BY-4.0", "public domain", "Apache-2.0"}
    assert "not_a_cat_01.png" not in {p.source for p in made}
    first = store.image(made[0])
    assert (first.mode, first.size) == ("RGBA", (96, 96))  # 180 pixels of ink, without its margin
    assert store.image(made[1]).size == (20, 20)  # never enlarged
    assert made[1].ink == (0, 0, 250)


def test_the_same_bytes_again(packages, tmp_path):
    for name in ("one", "two"):
        build_store(tmp_path / name, [packages], partial=True)
    files = [(tmp_path / name / "pictures.zip").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_credits_name_every_style(packages, tmp_path):
    build_store(tmp_path, [packages], partial=True)
    text = (tmp_path / "CREDITS.md").read_text()
    assert "| twemoji | Twemoji, Twitter, Inc. and other contributors" in text
    assert (
        "| clipart | Open Clip Art Library, its contributors | openclipart-png | public domain | 5 |" in text
    )
    assert "fxemoji" not in text


def test_missing_packages_are_named(packages, tmp_path):
    with pytest.raises(
        ConfigError, match=r"holds no @lobehub/fluent-emoji-flat, .*npm pack @iconify-json/fxemoji"
    ):
        build_store(tmp_path / "out", [packages])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no @lobehub/fluent-emoji-3d"):
        build_store(tmp_path / "out", [tmp_path / "empty"], partial=True)
    with pytest.raises(ConfigError, match="gone is not a folder"):
        build_store(tmp_path / "out", [tmp_path / "gone"])
    assert not (tmp_path / "out").exists()


def test_a_broken_picture_leaves_the_old_store(packages, tmp_path):
    build_store(tmp_path / "out", [packages], partial=True)
    before = (tmp_path / "out" / "pictures.zip").read_bytes()
    (packages / "a" / "fluent" / "assets" / "1f436.webp").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"fluent-3d picture 1f436\.webp cannot be read"):
        build_store(tmp_path / "out", [packages], partial=True)
    assert (tmp_path / "out" / "pictures.zip").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["CREDITS.md", "pictures.zip"]


def test_icons_in_svg(tmp_path):
    pytest.importorskip("resvg_py")
    root = tmp_path / "emojione"
    root.mkdir()
    (root / "package.json").write_text('{"name": "@iconify-json/emojione"}')
    icon = {"body": '<path fill="#f00" d="M0 0h32v64H0z"/>'}
    (root / "icons.json").write_text(json.dumps({"icons": {"cat": icon}, "width": 64, "height": 64}))
    (made,) = build_store(tmp_path / "out", [root], partial=True)
    assert PictureStore(tmp_path / "out").image(made).size == (48, 96)
    assert (made.style, made.source, made.ink) == ("emojione", "cat", (255, 0, 0))
    (root / "icons.json").write_text("{}")
    with pytest.raises(MediaError, match="cannot be read as Iconify JSON"):
        build_store(tmp_path / "out", [root], partial=True)


def test_one_drawing_stays_in_one_split():
    cat = load_names()["cat"]
    clipart = [f"animals/drawing_{letter}{end}.png" for letter in "abcdefgh" for end in ("", "_bw")]
    found = [Found(cat, "clipart", source) for source in clipart]
    found += [Found(cat, style, "x.png") for style in ("noto", "twemoji", "fluent-3d")]
    splits = split_pictures(found)
    assert splits[16:] == ["new_style", "train", "train"]
    assert splits[0:16:2] == splits[1:16:2]
    assert splits[:16].count("test") == 4


@pytest.mark.parametrize(("number", "held_out"), [(4, 0), (5, 1)])
def test_few_pictures_are_all_trained_on(number, held_out):
    cat = load_names()["cat"]
    found = [Found(cat, "emojione", str(index)) for index in range(number)]
    assert split_pictures(found).count("test") == held_out


def test_a_picture_of_nothing_is_left_out():
    assert thumbnail(Image.new("RGBA", (30, 20))) is None
    assert thumbnail(Image.new("RGBA", (30, 20), (0, 0, 0, 255))).size == (30, 20)


def test_the_style_of_the_test_is_never_trained_on():
    assert [name for name, style in STYLES.items() if not style.trained] == ["noto"]


def test_a_store_says_what_it_lacks(packages, tmp_path):
    build_store(tmp_path / "part", [packages], partial=True)
    missing = PictureStore(tmp_path / "part").missing
    assert missing == ("fluent-flat", "emojione", "fxemoji", "streamline")
    for name in missing:  # the rest of the packages: of no thing of the list, but there
        root = tmp_path / "packages" / name
        root.mkdir()
        (root / "package.json").write_text(json.dumps({"name": STYLES[name].package}))
        if STYLES[name].folder:
            (root / STYLES[name].folder).mkdir()
        else:
            (root / "icons.json").write_text('{"icons": {"nothing": {"body": ""}}}')
    for partial in (True, False):  # asking for less makes no other store
        build_store(tmp_path / f"{partial}", [packages], partial=partial)
    assert PictureStore(tmp_path / "True").missing == ()
    files = [(tmp_path / name / "pictures.zip").read_bytes() for name in ("True", "False")]
    assert files[0] == files[1]


def test_an_output_that_is_a_file_is_refused_before_a_picture_is_read(packages, tmp_path):
    (tmp_path / "out").write_text("mine")
    seen = []
    with pytest.raises(ConfigError, match="out is a file; it must be a folder"):
        build_store(tmp_path / "out", [packages], partial=True, progress=lambda *args: seen.append(args))
    assert seen == []
    assert (tmp_path / "out").read_text() == "mine"
