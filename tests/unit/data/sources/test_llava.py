"""LLaVA's files: a list or lines, and records that are told apart by place."""

import json

import pytest
from factories import make_processor
from made_records import png, turns
from PIL import Image

from oryx.data.sources.measuring import measure
from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError, OryxError


def write(tmp_path, content, name="data.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_json_and_jsonl_give_the_same(tmp_path, records):
    entries = [{"conversations": turns()}, {"conversations": turns(), "image": "a.png", "id": 7}]
    lines = "\n\n".join(map(json.dumps, entries)) + "\n\n"
    first = records(write(tmp_path, entries))
    second = records(write(tmp_path, lines, "data.jsonl"))
    assert [record.visuals for record in first] == [record.visuals for record in second]
    assert [record.id for record in second] == [None, 7]
    assert first[1].place == f"{tmp_path / 'data.json'} record 1"
    assert second[1].place == f"{tmp_path / 'data.jsonl'} line 3"


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path, records):
    for name, content in (("a.json", [{"conversations": turns()}]), ("a.jsonl", {"conversations": turns()})):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
        assert records(tmp_path / name)[0].conversations == turns()


def test_media_paths_start_from_the_root(tmp_path, records):
    visuals = [
        {"type": "views", "views": ["a.png", "b.png"], "compression": 4},
        {"type": "video", "video": "v.mp4"},
    ]
    entry = {"conversations": turns(), "visuals": visuals}
    path = write(tmp_path, [entry, {"conversations": turns(), "image": ["a.png", "b.png"]}])
    first, second = records(path, media_root="/media")
    assert first.visuals[0] == {"type": "views", "views": ["/media/a.png", "/media/b.png"], "compression": 4}
    assert first.visuals[1]["video"] == "/media/v.mp4"
    assert [visual["image"] for visual in second.visuals] == ["/media/a.png", "/media/b.png"]
    assert records(path)[1].visuals[0]["image"] == str(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "data.json is not valid JSON"),
        ("[]", "data.json holds no records"),
        ("", "data.json holds no records"),
        ("\n \n", "data.json holds no records"),
    ],
)
def test_files_that_are_nothing_are_refused(tmp_path, content, said):
    with pytest.raises(ConfigError, match=said):
        open_source(SourceSettings(path=str(write(tmp_path, content))))


def test_a_broken_line_is_a_broken_record(tmp_path):
    path = write(tmp_path, '{"conversations": [}\n' + json.dumps({"conversations": turns()}), "data.jsonl")
    source = open_source(SourceSettings(path=str(path)))
    with pytest.raises(ConfigError, match=r"data.jsonl line 1: the line is not valid JSON"):
        source.read(0)
    assert source.read(1).conversations == turns()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none.json does not exist"):
        open_source(SourceSettings(path=str(tmp_path / "none.json")))
    path = tmp_path / "data.json"
    path.write_bytes(b"\xff\xfe\x00")
    source = open_source(SourceSettings(path=str(path)))
    with pytest.raises(OryxError, match=r"data.json line 1: the line is not valid JSON"):
        source.read(0)


# -- patch files ---------------------------------------------------------------------------------------


@pytest.fixture
def patches(tmp_path):
    """A patch file of four pictures after some other bytes, and the place of each."""
    import base64

    pictures = [png(seed) for seed in range(4)]
    encoded = base64.b64encode(pictures[3])
    (tmp_path / "patch_00000").write_bytes(b"other" + b"".join(pictures[:3]) + encoded)
    starts, start = [], 5
    for picture in pictures:
        starts.append(start)
        start += len(picture)
    places = [{"patch": "patch_00000", "start_num": s, "size": len(p)} for s, p in zip(starts, pictures[:3])]
    places.append(
        {"patch": "patch_00000", "start_num": starts[3], "size": len(encoded), "image_encoding": "base64"}
    )
    for seed, picture in enumerate(pictures):
        (tmp_path / f"{seed}.png").write_bytes(picture)
    return places


def test_patches_are_the_pictures_that_were_put_there(tmp_path, patches, records, encoded):
    stored = [
        {"conversations": turns("<image>A"), "image": patches[0]},
        {"conversations": turns("<image><image>A"), "image": [patches[1], patches[3]]},
        {"conversations": turns("<image>A"), "image": {"img_path": "2.png"}},
        {
            "conversations": turns("<image>A"),
            "video": {
                "patch": "patch_00000",
                "start_num": patches[0]["start_num"],
                "size": [place["size"] for place in patches[:3]],
            },
        },
        {"conversations": turns("<image>A"), "video": [patches[2], patches[3]]},
    ]
    plain = [
        {"conversations": turns("<image>A"), "image": "0.png"},
        {"conversations": turns("<image><image>A"), "image": ["1.png", "3.png"]},
        {"conversations": turns("<image>A"), "image": "2.png"},
        {
            "conversations": turns("<image>A"),
            "visuals": [{"type": "video", "video": ["0.png", "1.png", "2.png"]}],
        },
        {"conversations": turns("<image>A"), "visuals": [{"type": "video", "video": ["2.png", "3.png"]}]},
    ]
    found = records(write(tmp_path, stored), format="patches")
    expected = records(write(tmp_path, plain, "plain.json"))
    assert [encoded(record) for record in found] == [encoded(record) for record in expected]


def test_of_stored_frames_so_many_are_chosen_as_of_a_video(tmp_path, patches, records):
    sizes = [place["size"] for place in patches[:3]]
    video = {"patch": "patch_00000", "start_num": patches[0]["start_num"], "size": sizes}
    path = write(tmp_path, [{"conversations": turns("<image>A"), "video": video}])
    (record,) = records(path, dials={"max_frames": 2})
    assert record.opened()[0]["video"] == [png(0), png(2)]


def test_a_list_of_places_is_stored_frames_where_it_is_no_list_of_a_visual_s_own(tmp_path, patches, records):
    entries = [
        {"conversations": turns("<image>A"), "video": patches[:3]},
        {"conversations": turns("<image>A"), "visuals": [{"type": "video", "video": patches[:3], "fps": 2}]},
    ]
    stored, listed = records(write(tmp_path, entries), dials={"max_frames": 2})
    assert stored.opened()[0]["video"] == [png(0), png(2)]
    assert listed.opened()[0]["video"] == [png(0), png(1), png(2)]


def test_blue_first_is_swapped_where_the_source_says_so(tmp_path, patches, records, encoded):
    visuals = [{"type": "image", "image": patches[0]}, {"type": "views", "views": [patches[1], "2.png"]}]
    path = write(tmp_path, [{"conversations": turns("<image><image>A"), "visuals": visuals}])
    (plain,), (swapped,) = records(path), records(path, channel_order="bgr")
    before, after = encoded(plain), encoded(swapped)
    assert before["ids"] == after["ids"]
    patch = 4 * 4
    for first, second in zip(before["patches"], after["patches"]):
        channels = [first[c * patch : (c + 1) * patch] for c in range(3)]
        pixels = [first[c::3] for c in range(3)]
        layouts = (channels[2] + channels[1] + channels[0], [v for p in zip(*reversed(pixels)) for v in p])
        assert second in layouts
    assert before["patches"] != after["patches"]


@pytest.mark.parametrize("kind", ["video", "views"])
def test_blue_first_is_swapped_in_folders_too(tmp_path, records, kind):
    (tmp_path / "folder").mkdir()
    for number in range(5):
        Image.new("RGB", (8, 8), (number, 0, 200)).save(tmp_path / "folder" / f"{number}.png")
    dials = {"max_frames": 3} if kind == "video" else {}
    visual = {"type": kind, kind: "folder", **dials}
    path = write(tmp_path, [{"conversations": turns("<image>A"), "visuals": [visual]}])
    (record,) = records(path, channel_order="bgr")
    numbers = [0, 2, 4] if kind == "video" else [0, 1, 2, 3, 4]
    assert [frame.getpixel((0, 0)) for frame in record.opened()[0][kind]] == [(200, 0, n) for n in numbers]
    processor = make_processor()
    counted, _ = measure(record, processor)
    assert counted == len(processor.encode_sample(record.conversations, record.opened()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 0}, "record 0: a medium is"),
        ({"start_num": None}, "a place in a patch file has patch, start_num"),
        ({"size": 10**6}, "1,000,000 bytes are needed, but the file ends before"),
        ({"patch": "none"}, "none cannot be read"),
        ({"start_num": 0}, "is not a picture"),
        ({"image_encoding": "base64"}, "bytes are not base64 text"),
    ],
)
def test_a_broken_patch_is_named(tmp_path, patches, records, change, said):
    path = write(tmp_path, [{"conversations": turns("<image>A"), "image": {**patches[0], **change}}])
    with pytest.raises(OryxError) as error:
        measure(records(path)[0], make_processor())
    assert said in str(error.value)
    assert str(error.value).startswith(str(path))


def test_of_stored_views_all_are_used(tmp_path, records):
    picture = png(0, 8, 8)
    (tmp_path / "patch").write_bytes(picture * 70)
    views = {"patch": "patch", "start_num": 0, "size": [len(picture)] * 70}
    visual = {"type": "views", "views": views}
    path = write(tmp_path, [{"conversations": turns("<image>A"), "visuals": [visual]}])
    assert len(records(path)[0].opened()[0]["views"]) == 70
