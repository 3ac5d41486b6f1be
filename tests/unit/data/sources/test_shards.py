"""Shards: members of one key are one record, wherever it lies."""

import io
import json
import pickle
import tarfile

import pytest
from made_records import png, turns

from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError, OryxError


def write_shard(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


TWO = [
    {"type": "image", "image": "b.png", "detail": "low"},
    {"type": "views", "views": ["a.png", "1.b.png"]},
]
MEMBERS = [
    ("0.json", {"conversations": turns("<image>A")}),
    ("0.png", png(0)),
    ("x/1.json", {"conversations": turns("<image><image>B"), "visuals": TWO}),
    ("x/1.a.png", png(1)),
    ("x/1.b.png", png(2)),
    ("2.txt", b"A caption."),
    ("2.jpg", png(3)),
    ("3.0.png", png(4)),
    ("3.10.png", png(5)),
    ("3.2.png", png(6)),
    ("3.json", {"conversations": turns("<image><image><image>C")}),
]


def test_members_of_a_key_are_a_record(tmp_path, records):
    path = write_shard(tmp_path / "a.tar", [*MEMBERS, (".hidden", b"")])
    first, second, third, fourth = records(path)
    assert first.opened() == [{"type": "image", "image": png(0)}]
    assert second.opened() == [
        {"type": "image", "image": png(2), "detail": "low"},
        {"type": "views", "views": [png(1), png(2)]},
    ]
    assert third.conversations == turns("<image>\nDescribe the image.", "A caption.")
    assert [visual["image"] for visual in fourth.opened()] == [png(4), png(6), png(5)]
    assert [record.place for record in (first, second)] == [f"{path} key 0", f"{path} key x/1"]
    assert second.visuals[0]["image"].name == "x/1.b.png"


@pytest.mark.parametrize("empty", [{}, {"image": None}, {"images": []}], ids=str)
@pytest.mark.parametrize("part", [{"type": "image"}, {"type": "image", "image": None}, None], ids=str)
def test_messages_that_name_no_media_have_all_members(tmp_path, records, part, empty):
    text = {"type": "text", "text": "What is it?"}
    content = "What is it?" if part is None else [part, text]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "A cat."}]
    members = [("7.json", {"messages": messages, **empty}), ("7.jpg", png(0))]
    (record,) = records(write_shard(tmp_path / "a.tar", members))
    assert record.opened() == [{"type": "image", "image": png(0)}]
    newline = "\n" if part is None else ""
    assert record.conversations == turns(f"<image>{newline}What is it?", "A cat.")


def test_messages_that_name_a_member_have_no_other(tmp_path, records):
    part = {"type": "image", "image": "b.jpg"}
    messages = [{"role": "user", "content": [part]}, {"role": "assistant", "content": "A cat."}]
    members = [("7.json", {"messages": messages}), ("7.a.jpg", png(0)), ("7.b.jpg", png(1))]
    (record,) = records(write_shard(tmp_path / "a.tar", members))
    assert record.opened() == [{"type": "image", "image": png(1)}]


@pytest.mark.parametrize("messages", ["hi", ["hi"], [{"role": "user", "content": ["hi", 3]}]], ids=str)
def test_messages_of_another_form_are_broken_records(tmp_path, messages):
    path = write_shard(tmp_path / "a.tar", [("7.json", {"messages": messages}), ("7.jpg", png(0))])
    with pytest.raises(OryxError, match=r"key 7: .*message"):
        open_source(SourceSettings(path=str(path))).read(0)


def test_a_shard_is_read_at_any_place_in_any_process(tmp_path):
    write_shard(tmp_path / "a.tar", MEMBERS)
    write_shard(tmp_path / "b.tar", MEMBERS[:2])
    source = open_source(SourceSettings(path=str(tmp_path / "*.tar")))
    assert len(source) == 5
    copy = pickle.loads(pickle.dumps(source))
    assert [copy.read(index) for index in (4, 0, 2)] == [source.read(index) for index in (4, 0, 2)]
    assert source.read(4).place == f"{tmp_path / 'b.tar'} key 0"


def test_where_members_lie_is_kept(tmp_path, monkeypatch, cache):
    monkeypatch.setattr("oryx.data.sources.shards.KEPT_FROM", 1)
    path = write_shard(tmp_path / "a.tar", MEMBERS)
    expected = [open_source(SourceSettings(path=str(path))).read(index) for index in range(4)]
    from oryx.data.sources import shards

    shards._cached_members.cache_clear()
    monkeypatch.setattr("oryx.data.sources.shards._scan", None)
    again = open_source(SourceSettings(path=str(path)))
    assert [again.read(index) for index in range(4)] == expected
    assert len(list(cache.glob("shard-*.npz"))) == 1


def test_names_that_are_no_utf_8_can_be_read_and_shown(tmp_path, records):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as archive:
        for name, data in (("caf\xe9.txt", b"A cup."), ("caf\xe9.\xe9.png", png(0))):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (record,) = records(path)
    assert record.place == f"{path} key caf\\xe9"
    assert record.opened() == [{"type": "image", "image": png(0)}]


@pytest.mark.parametrize("name", ["A.JPG", "0.A.JPG", "a.jpg"])
def test_members_are_named_as_they_are_or_in_small_letters(tmp_path, records, name):
    members = [("0.JSON", {"conversations": turns("<image>A"), "image": name}), ("0.A.JPG", png(0))]
    (record,) = records(write_shard(tmp_path / "a.tar", members))
    assert record.opened() == [{"type": "image", "image": png(0)}]


def test_of_two_cases_the_one_that_was_named_is_taken(tmp_path, records):
    entry = {"conversations": turns("<image><image>A"), "image": ["A.png", "a.png"]}
    members = [("0.json", entry), ("0.a.png", png(0)), ("0.A.png", png(1))]
    (record,) = records(write_shard(tmp_path / "a.tar", members))
    assert [visual["image"] for visual in record.opened()] == [png(1), png(0)]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("0.png", b"x")], "key 0: it has no .json with a conversation, and no .txt with a caption"),
        ([("0.json", b"{")], "its .json is not valid JSON"),
        ([("0.json", [])], "its .json must hold an object"),
        ([("0.json", {"conversations": turns("<image>"), "image": "1.png"})], "1.png"),
    ],
)
def test_broken_records_are_named(tmp_path, members, said):
    from factories import make_processor

    from oryx.data.sources.measuring import measure

    source = open_source(SourceSettings(path=str(write_shard(tmp_path / "a.tar", members))))
    with pytest.raises(OryxError) as error:
        measure(source.read(0), make_processor())
    assert said in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'a.tar'} key 0: ")


def test_a_shard_that_is_cut_off_has_one_more_record_which_is_broken(tmp_path):
    path = write_shard(tmp_path / "a.tar", MEMBERS)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(png(3)) + 10])
    source = open_source(SourceSettings(path=str(path)))
    assert len(source) == 4
    assert source.read(1).conversations == turns("<image><image>B")
    with pytest.raises(OryxError, match=r"a.tar: the shard is cut off .* records are missing"):
        source.read(3)
    with pytest.raises(OryxError, match=r"the file ends before"):
        source.read(2).opened()


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (0, "the shard is cut off at byte {}; records are missing"),  # between two blocks
        (100, "the shard is cut off at byte {}; records are missing"),
        (None, "the shard is damaged at byte {}; records are missing"),
    ],
)
def test_a_header_that_is_lost_is_one_more_record_which_is_broken(tmp_path, cut, said):
    path = write_shard(tmp_path / "a.tar", MEMBERS)
    whole = path.read_bytes()
    header = whole.index(b"2.txt")
    path.write_bytes(
        whole[: header + cut] if cut is not None else whole[:header] + b"#" * 10 + whole[header + 10 :]
    )
    source = open_source(SourceSettings(path=str(path)))
    assert len(source) == 3
    assert source.read(1).conversations == turns("<image><image>B")
    with pytest.raises(OryxError) as error:
        source.read(2)
    assert said.format(header + (cut or 0)) in str(error.value)


def test_captions_are_utf_8_with_or_without_a_mark(tmp_path, records):
    members = [("0.png", png(0)), ("0.txt", b"\xef\xbb\xbfA cat."), ("1.png", png(1)), ("1.txt", b"Caf\xe9")]
    path = write_shard(tmp_path / "a.tar", members)
    source = open_source(SourceSettings(path=str(path)))
    assert source.read(0).conversations[-1]["value"] == "A cat."
    with pytest.raises(OryxError, match=r"its \.txt is not UTF-8 text\."):
        source.read(1)


def test_a_shard_may_have_any_number_of_endings(tmp_path, records):
    members = [(f"0.s{number}.png", b"") for number in range(2**15 + 2)]
    (record,) = records(
        write_shard(tmp_path / "a.tar", [("0.json", {"conversations": turns("A")}), *members])
    )
    assert [visual["image"].name for visual in record.visuals[-2:]] == [name for name, _ in members[-2:]]


def test_compressed_and_other_files_are_refused(tmp_path):
    write_shard(tmp_path / "a.tar", MEMBERS, mode="w:gz")
    with pytest.raises(ConfigError, match="compressed ones must be unpacked"):
        open_source(SourceSettings(path=str(tmp_path / "a.tar")))
    write_shard(tmp_path / "b.tar", [])
    with pytest.raises(ConfigError, match="holds no files"):
        open_source(SourceSettings(path=str(tmp_path / "b.tar")))
