"""The table of things: well formed, without doubles, and said in good English."""

from collections import Counter

from oryx.data.pictures import load_names
from oryx.data.pictures.names import NUMBERS
from oryx.data.pictures.sources import STYLES


def test_entries_are_well_formed():
    names = load_names()
    assert 200 <= len(names) <= 250
    keys = {style.key for style in STYLES.values()} | set(STYLES)
    for name, thing in names.items():
        assert thing.name == name
        assert name.replace(" ", "").isalpha()
        assert thing.number in NUMBERS
        assert thing.article in ("a", "an", "some")
        assert isinstance(thing.mirror, bool)
        assert thing.pictures["emoji"]
        assert set(thing.pictures) <= keys
        assert all(isinstance(text, str) for texts in thing.pictures.values() for text in texts)


def test_no_picture_shows_two_things():
    counts = Counter(
        (key, text)
        for thing in load_names().values()
        for key, texts in thing.pictures.items()
        for text in texts
    )
    assert [entry for entry, count in counts.items() if count > 1] == []


def test_phrases():
    names = load_names()
    phrases = [
        names[name].phrase
        for name in ("cat", "apple", "hourglass", "unicorn", "bread", "grapes", "palm tree")
    ]
    assert phrases == [
        "a cat",
        "an apple",
        "an hourglass",
        "a unicorn",
        "some bread",
        "some grapes",
        "a palm tree",
    ]


def test_a_style_may_have_its_own_list():
    racket = load_names()["tennis racket"]
    assert racket.pictures_of("twemoji", "emoji") == ()
    assert racket.pictures_of("noto", "emoji") == ("🎾",)
    assert racket.pictures_of("clipart", "clipart")
