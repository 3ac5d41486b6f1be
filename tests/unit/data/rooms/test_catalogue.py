"""Catalogues: what is read out of them, under which names, and what is refused."""

import zipfile

import pytest
from made_furniture import BOXES, write_catalogue

from oryx.data.rooms.catalogue import (
    PROPERTIES,
    credits_text,
    label_of,
    labels,
    parse_properties,
    read_furniture,
)
from oryx.errors import ConfigError


def test_models_have_their_name_size_and_author(furniture):
    assert [piece.label for piece in furniture] == ["chair", "table", "bed", "wardrobe", "lamp"]
    table = furniture[1]
    assert (table.width, table.depth, table.height, table.top) == (1.2, 0.8, 0.72, 0.72)
    assert (table.name, table.catalogue, table.creator, table.licence) == (
        "Table",
        "Boxes",
        "Ann Author",
        "CC0",
    )
    assert (table.member, table.elevation, table.rotation) == ("boxes/box2.obj", 0.0, None)
    assert furniture[0].top is None


def test_properties_are_read_as_java_writes_them():
    common, pieces = parse_properties(
        "# a comment\n! another\nname = Some things\nname#2=Caf\\u00e9 table\nid#2=A\n"
        "name#1=Long \\\n    name\n"
    )
    assert common == {"name": "Some things"}
    assert pieces == {2: {"name": "Café table", "id": "A"}, 1: {"name": "Long name"}}


def test_a_piece_may_say_how_it_stands(tmp_path):
    extra = "modelRotation#1=0 0 1 0 1 0 -1 0 0\nelevation#1=50\nlicense#1=CC-BY"
    (piece, *_) = read_furniture([write_catalogue(tmp_path / "A.sh3f", BOXES[:1], extra)])
    assert piece.rotation == (0, 0, 1, 0, 1, 0, -1, 0, 0)
    assert (piece.elevation, piece.licence) == (0.5, "CC-BY")


def test_an_id_decides_before_a_name():
    assert label_of("Any#thing", "OAK CHAIR") == "chair"
    assert label_of("Any#thing", "Spaceship") is None
    assert label_of("Blend Swap CC-0#armchair", "whatever") == "chair"
    assert label_of("Scopia#ext_table", "Table") is None  # left out, whatever it is called


def test_plurals_are_english():
    """A name that takes more than an s says so in the table."""
    for label in labels().values():
        last = label.name.split()[-1]
        if last.endswith(("s", "x", "z", "ch", "sh")):
            assert label.plural == f"{label.name}es"
        elif last.endswith(("f", "fe")):
            assert label.plural.endswith("ves")
        elif last.endswith("y") and last[-2] not in "aeiou":
            assert label.plural == f"{label.name[:-1]}ies"
        else:
            assert label.plural in (f"{label.name}s", "people")
    named = [labels()[name].plural for name in ("bench", "box", "shelf", "TV", "Christmas tree")]
    assert named == ["benches", "boxes", "shelves", "TVs", "Christmas trees"]


def test_folders_and_chosen_catalogues(tmp_path):
    for name in ("B", "A"):
        write_catalogue(tmp_path / f"{name}.sh3f", BOXES[:2])
    assert [piece.catalogue for piece in read_furniture([tmp_path])] == ["A", "A", "B", "B"]
    assert {piece.catalogue for piece in read_furniture([tmp_path], ["B"])} == {"B"}
    with pytest.raises(ConfigError, match="no catalogue 'C'; the known ones are A, B"):
        read_furniture([tmp_path], ["C"])


def test_what_is_no_catalogue_is_named(tmp_path):
    with pytest.raises(ConfigError, match="holds no furniture catalogue"):
        read_furniture([tmp_path])
    with pytest.raises(ConfigError, match="gone does not exist"):
        read_furniture([tmp_path / "gone"])
    (tmp_path / "text.sh3f").write_text("no zip")
    with pytest.raises(ConfigError, match="no furniture catalogue: a zip with"):
        read_furniture([tmp_path / "text.sh3f"])
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(ConfigError, match=f"a zip with {PROPERTIES} is needed"):
        read_furniture([tmp_path / "other.zip"])


@pytest.mark.parametrize("line", ["id#9=a\nname#9=Chair", "id#9=a\nname#9=Chair\nwidth#9=wide"])
def test_a_broken_piece_is_named(tmp_path, line):
    with pytest.raises(ConfigError, match="piece 9 lacks or misstates a property"):
        read_furniture([write_catalogue(tmp_path / "A.sh3f", BOXES[:1], line)])


def test_a_catalogue_of_unknown_things_is_refused(tmp_path):
    strange = [("Spaceship", (1, 1, 1), (0, 0, 0), None)]
    with pytest.raises(ConfigError, match="no model has a known name"):
        read_furniture([write_catalogue(tmp_path / "A.sh3f", strange)])


def test_credits_name_author_licence_and_models(furniture):
    text = credits_text(furniture)
    assert "## Boxes" in text
    assert "Licence: CC0" in text
    assert "- Ann Author: Bed, Chair, Lamp, Table, Wardrobe" in text
