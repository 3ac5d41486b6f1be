"""`oryx data needle` and `oryx data haystack`: options to builders, keys to servers, sentences to people."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import haystack_stand_in
import numpy as np
import pytest


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=8, options={"g": "8"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for _ in range(4):
            ground = np.kron(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
            for shift in range(20):
                frame = av.VideoFrame.from_ndarray(np.roll(ground, shift, axis=1), format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (folder / "notes.txt").write_text("x")
    return folder


@pytest.fixture
def endpoint():
    """(address, authorizations it was given)."""
    keys = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self.say({"data": [{"id": "seer"}]})

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            keys.append(self.headers.get("Authorization"))
            self.say({"choices": [{"message": {"content": f"A ground, number {len(keys)}."}}]})

        def say(self, content):
            text = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", keys
    server.shutdown()
    server.server_close()


def needle(run, videos, out, *options):
    return run(
        "data", "needle", videos, out, "--frames", "10-16", "--min-step", "0.25", "--count", 4, *options
    )


def test_records_and_their_summary(run, videos, tmp_path, endpoint, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = needle(run, videos, tmp_path / "out", "--captioner", endpoint[0], "--per-clip", 2)
    assert result.code == 0, result
    assert "records      4 (2 captions, 2 differences)" in result.out
    assert "no clip of 'notes.txt'" in result.err
    assert len(json.loads((tmp_path / "out/needle.json").read_text())) == 4
    assert set(endpoint[1]) == {None}


def test_json_is_the_summary(run, videos, tmp_path, endpoint):
    result = needle(run, videos, tmp_path / "out", "--captioner", endpoint[0], "--json")
    printed = json.loads(result.out)
    assert printed.pop("output") == str(tmp_path / "out")
    assert printed == json.loads((tmp_path / "out/summary.json").read_text())
    assert printed["captioners"] == [f"seer at {endpoint[0]}"]


def test_the_key_is_that_of_the_file_or_the_usual_secret(run, videos, tmp_path, endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    (tmp_path / "key").write_text("from-file\n")
    options = ("--captioner", endpoint[0])
    needle(run, videos, tmp_path / "a", *options)
    needle(run, videos, tmp_path / "b", *options, "--api-key-file", tmp_path / "key")
    assert set(endpoint[1][:4]) == {"Bearer from-environment"}
    assert set(endpoint[1][4:]) == {"Bearer from-file"}
    for text in (path.read_text() for path in (tmp_path / "b").glob("*.json*")):
        assert "from-file" not in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--captioner", "http://127.0.0.1:9/v1"), "cannot be reached"),
        (("--captioner", "/no/such/model"), "/no/such/model"),
        (("--captioner", "nano", "--captioner-model", "x"), "are for an endpoint"),
        (("--captioner", "nano", "--frames", "many"), "frames is 'many'; it must be MIN-MAX or one number"),
        (("--captioner", "nano", "--layout", "zip"), "allowed: patch, folder"),
        (("--captioner", "http://x", "--api-key-file", "/no/key"), "key file /no/key cannot be read"),
    ],
)
def test_refusals(refused, videos, tmp_path, options, sentence):
    assert sentence in refused("data", "needle", videos, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_captioner_must_be_named(refused, videos, tmp_path):
    assert "captioner" in refused("data", "needle", videos, tmp_path / "out").lower()


def test_a_key_file_with_more_than_a_key(refused, videos, tmp_path):
    (tmp_path / "key").write_text("one two")
    options = ("--captioner", "http://x", "--api-key-file", tmp_path / "key")
    assert "must hold the key" in refused("data", "needle", videos, tmp_path / "out", *options)


def test_a_folder_without_videos(refused, tmp_path, endpoint):
    (tmp_path / "empty").mkdir()
    said = refused("data", "needle", tmp_path / "empty", tmp_path / "out", "--captioner", endpoint[0])
    assert "is empty" in said


@pytest.fixture
def _drawn(monkeypatch):
    monkeypatch.setitem(sys.modules, "oryx.data.synthetic.haystack", haystack_stand_in)


@pytest.mark.usefixtures("_drawn")
def test_haystacks_are_written(run, tmp_path):
    out = tmp_path / "out"
    result = run("data", "haystack", out, "--frames", "6,12", "--depths", "3", "--trials", 2, "--json")
    assert json.loads(result.out) == {"output": str(out), "records": 12, "frames": 108}
    assert len((out / "haystacks.jsonl").read_text().splitlines()) == 12
    result = run("data", "haystack", tmp_path / "more", "--frames", "6", "--layout", "folder")
    assert "10 videos, 60 frames" in result.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--frames", "1"), "at least 2"),
        (("--depths", "200%"), "depths are"),
        (("--haystack", "/no/film.mp4"), "does not exist"),
        (("--frame-size", "4x4"), "sides from 16"),
        (("--frame-size", "big"), "frame-size is 'big'; it must be HEIGHTxWIDTH or one number"),
        (("--needles", "/no/needles.jsonl"), "cannot be read"),
    ],
)
def test_haystacks_that_cannot_be(refused, tmp_path, options, sentence):
    assert sentence in refused("data", "haystack", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_help_of_data_lists_its_commands(run):
    assert "needle" in run("data").out
    assert "haystack" in run("data", "--help").out
