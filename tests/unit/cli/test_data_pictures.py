"""`oryx data pictures`: what it prints, what it makes, what it refuses."""

import json

import pytest
from PIL import Image

from oryx.cli.main import main
from oryx.data.pictures import PictureStore


@pytest.fixture
def packages(tmp_path):
    root = tmp_path / "packages" / "twitter"
    (root / "img" / "twitter" / "64").mkdir(parents=True)
    (root / "package.json").write_text('{"name": "emoji-datasource-twitter"}')
    Image.new("RGBA", (64, 64), (255, 0, 0, 255)).save(root / "img" / "twitter" / "64" / "1f431.png")
    return str(tmp_path / "packages")


def test_json(packages, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["data", "pictures", out, "--from", packages, "--partial", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "store": out,
        "names": 1,
        "pictures": {"train": 1, "test": 0, "new_style": 0},
        "styles": {"twemoji": 1},
    }
    assert PictureStore(out).pictures[0].name == "cat"


def test_a_sentence(packages, tmp_path, capsys):
    assert main(["data", "pictures", str(tmp_path / "out"), "--from", packages, "--partial"]) == 0
    assert "1 things, 1 train, 0 test, 0 new_style." in capsys.readouterr().out


def test_refusals(packages, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["data", "pictures", out, "--from", packages]) == 2
    assert "holds no @lobehub/fluent-emoji-3d" in capsys.readouterr().err
    assert main(["data", "pictures", out, "--from", str(tmp_path / "gone"), "--partial"]) == 2
    assert "gone is not a folder" in capsys.readouterr().err
    assert main(["data", "pictures", out]) == 2


def test_an_output_that_is_a_file(packages, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert main(["data", "pictures", str(tmp_path / "out"), "--from", packages, "--partial"]) == 2
    assert "is a file; it must be a folder" in capsys.readouterr().err
