"""Which files a path means, and in which format."""

import json
import tarfile

import pytest
from made_records import turns

from oryx.data.sources.folder import METADATA
from oryx.data.sources.opening import guess_format, open_source
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError


def write(path, number=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{"conversations": turns(str(n))} for n in range(number)]))
    return path


def open_path(path, **settings):
    return open_source(SourceSettings(path=path, **settings))


@pytest.mark.parametrize(
    ("names", "path", "format_"),
    [
        (["a.json"], "a.json", "llava"),
        (["a.JSONL"], "a.JSONL", "llava"),
        (["a.parquet"], "a.parquet", "parquet"),
        (["0.tar", "1.tar"], "*.tar", "webdataset"),
        (["d/0.tar", "d/readme.txt"], "d", "webdataset"),
        (["d/0.parquet"], "d", "parquet"),
        (["d/a.png", "d/a.txt"], "d", "folder"),
        (["d/a.png", "d/a.json"], "d", "folder"),
        (["d/patch_00000", "d/records.jsonl"], "d", "llava"),
        (["d/metadata.jsonl", "d/a.tar"], "d", "folder"),
        (["d/dataset_info.json", "d/a.arrow"], "d", "datasets"),
    ],
)
def test_the_format_is_guessed(tmp_path, names, path, format_):
    for name in names:
        write(tmp_path / name)
    assert guess_format(str(tmp_path / path)) == format_


@pytest.mark.parametrize(
    ("path", "settings", "said"),
    [
        ("none.json", {}, "none.json does not exist."),
        ("*.json", {}, "*.json matches no file."),
        ("*.json", {"format": "llava"}, "*.json matches no file."),
        ("*.json", {"format": "datasets"}, "*.json matches no file."),
        (
            "a.csv",
            {},
            "the format of {root}/a.csv is not clear from its ending; set it to one of llava, patches",
        ),
        ("a.csv", {"format": "folder"}, "a.csv is a file; the format folder needs a folder of media"),
        ("d", {"format": "llava"}, "the folder {root}/d holds no file that ends in .json or .jsonl"),
        ("d", {"format": "webdataset"}, "d holds no file that ends in .tar"),
        ("d", {}, "the folder {root}/d holds no picture and no video"),
    ],
)
def test_what_is_not_there_is_one_sentence(tmp_path, path, settings, said):
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "d").mkdir()
    with pytest.raises(ConfigError) as error:
        open_path(str(tmp_path / path), **settings)
    assert said.format(root=tmp_path) in str(error.value)


def test_a_glob_may_be_the_name_of_a_file(tmp_path):
    assert len(open_path(str(write(tmp_path / "a[1].json")))) == 1


def test_a_hub_id_needs_its_format():
    with pytest.raises(ConfigError, match=r"someone/data does not exist; a data set of the hub needs format"):
        open_path("someone/data")


def test_files_of_a_source_follow_each_other_up_to_its_limit(tmp_path):
    paths = [
        write(tmp_path / name, number) for name, number in (("b10.json", 2), ("b9.json", 3), ("a.json", 1))
    ]
    source = open_path([str(tmp_path / "b*.json"), str(paths[2])], limit=5)
    assert [source.place(index).rsplit("/", 1)[1] for index in range(len(source))] == [
        "b9.json record 0", "b9.json record 1", "b9.json record 2", "b10.json record 0", "b10.json record 1",
    ]  # fmt: skip
    assert source.read(3).conversations == turns("0")
    with pytest.raises(IndexError):
        source.read(5)


def test_a_fingerprint_changes_with_the_files_alone(tmp_path):
    path = write(tmp_path / "a.json")
    first = open_path(str(path), name="a", weight=2.0, licence="free").fingerprint()
    assert open_path(str(path)).fingerprint() == first
    assert open_path(str(path), limit=1).fingerprint() != first
    write(path, 2)
    assert open_path(str(path)).fingerprint() != first


@pytest.mark.parametrize("kind", ["llava", "metadata", "webdataset", "stored", "streamed"])
@pytest.mark.parametrize("is_linked", [False, True], ids=["root", "link"])
def test_a_fingerprint_tells_media_folders_apart(tmp_path, monkeypatch, request, kind, is_linked):
    """The same records are as long as their media, and a relative root is another one elsewhere."""
    name = {"llava": "r.json", "webdataset": "r.tar"}.get(kind, "r")
    path, settings = tmp_path / "there" / name, {}
    if kind in ("stored", "streamed"):
        datasets = request.getfixturevalue("datasets")
        datasets.Dataset.from_list([{"conversations": turns()}]).save_to_disk(path)
        settings = {"format": "datasets", "streaming": kind == "streamed"}
    elif kind == "webdataset":
        write(tmp_path / "x.json")
        path.parent.mkdir()
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "x.json", "0.json")
    else:
        write(path / METADATA if kind == "metadata" else path)
    fingerprints = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        monkeypatch.chdir(folder)
        if is_linked:
            (folder / name).symlink_to(path)
        named = {"path": name} if is_linked else {"path": str(path), "media_root": "media"}
        fingerprints.append(open_path(**named, **settings).fingerprint())
    assert fingerprints[0] != fingerprints[1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"path": 3}, "path is 3; it must be a text, or a list of texts"),
        ({"path": []}, "path is []; it must be"),
        ({"path": "a", "weight": -1.0}, "weight is -1; it must be a finite number of at least 0"),
        ({"path": "a", "weight": float("nan")}, "weight is nan"),
        ({"path": "a", "limit": 0}, "limit is 0; it must be at least 1"),
        ({"path": "a", "needle_frames": (5, 4)}, "needle_frames is [5, 4]; it must be [least, most]"),
        ({"path": "a", "streaming": True}, "streaming is for the formats datasets and parquet"),
        (
            {"path": "a", "dials": {"compresion": 4}},
            "dials.compresion is not a dial of a visual; did you mean",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ConfigError) as error:
        SourceSettings(**settings)
    assert said in str(error.value)


def test_a_title_is_what_people_see():
    assert SourceSettings(path="a", name="n").title == "n"
    assert SourceSettings(path=["a", "b", "c"]).title == "a and 2 more"
