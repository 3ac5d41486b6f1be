"""Which parts the command line chooses."""

import sys
from types import ModuleType
from typing import Any

import pytest

from oryx.errors import ConfigError
from oryx.serving.engines import choosing
from oryx.serving.engines.choosing import engine_name, refuse_unknown
from oryx.serving.http.wiring import Choice, build_engine, read_arguments, served_name


class Taken:
    """Stands for an engine, and keeps what it was made with."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self.given, self.named = given, named


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch):
    for module, name in (("transformers", "TransformersEngine"), ("vllm", "VllmEngine")):
        made = ModuleType(module)
        setattr(made, name, Taken)
        monkeypatch.setitem(sys.modules, f"oryx.serving.engines.{module}", made)


def install(monkeypatch: pytest.MonkeyPatch, has_vllm: bool) -> None:
    monkeypatch.setattr(choosing, "find_spec", lambda name: object() if has_vllm else None)


@pytest.mark.parametrize(
    ("asked", "has_vllm", "expected"),
    [
        ("auto", True, "vllm"),
        ("auto", False, "transformers"),
        ("vllm", True, "vllm"),
        ("transformers", True, "transformers"),
        ("transformers", False, "transformers"),
    ],
)
def test_vllm_is_taken_where_it_is(monkeypatch, asked, has_vllm, expected):
    install(monkeypatch, has_vllm)
    assert engine_name(asked) == expected


def test_engines_that_cannot_be(monkeypatch):
    install(monkeypatch, False)
    with pytest.raises(ConfigError, match=r"pip install oryx-mllm\[vllm\].*no more than oryx-mllm\[serve\]"):
        engine_name("vllm")
    with pytest.raises(ConfigError, match="auto, vllm, transformers"):
        engine_name("sglang")


def test_the_transformers_engine(engines, monkeypatch):
    install(monkeypatch, False)
    options = {"device": "cpu", "quantize": None, "vision_dtype": None}
    engine = build_engine(Choice("nano", dtype="float32", max_requests=3, engine_options=options))
    assert engine.given == ("nano", "float32")
    assert engine.named == {"max_requests": 3, "device": "cpu"}


def test_vllm_takes_further_options(engines, monkeypatch):
    install(monkeypatch, True)
    further = ("--tensor-parallel-size", "2", "--enforce-eager")
    engine = build_engine(Choice("nano", max_requests=3, further=further))
    assert engine.given == ("nano", "auto")
    assert engine.named == {
        "max_requests": 3,
        "arguments": {"tensor_parallel_size": 2, "enforce_eager": True},
        "known": (),
    }


def test_options_of_the_other_engine_are_refused(engines, monkeypatch):
    install(monkeypatch, True)
    with pytest.raises(ConfigError, match="--vision-tower is of the transformers engine"):
        build_engine(Choice(engine_options={"vision_tower": "x.pth"}))
    install(monkeypatch, False)
    known = ("--max-requests", "--port")
    with pytest.raises(ConfigError, match="no option --max-reqests; did you mean '--max-requests'"):
        build_engine(Choice(further=("--max-reqests=3",), known=known))
    install(monkeypatch, True)
    with pytest.raises(ConfigError, match=r"no option --enforce-eager\. .* need --engine vllm\.$"):
        build_engine(Choice(engine="transformers", further=("--enforce-eager",), known=known))
    with pytest.raises(ConfigError, match="--tokenizer-revision cannot be served"):
        build_engine(Choice(engine="transformers", further=("--tokenizer-revision", "main"), known=known))


def test_the_nearest_of_vllm_s_options_is_named_as_it_is_written():
    known = ["max_model_len", "enforce_eager"]
    refuse_unknown(["max_model_len"], known, [])
    with pytest.raises(ConfigError, match="no option --max-mode-len; did you mean '--max-model-len'"):
        refuse_unknown(["enforce_eager", "max_mode_len"], known, ["--max-frames"])
    with pytest.raises(ConfigError, match="no option --max-reqests; did you mean '--max-requests'"):
        refuse_unknown(["max_reqests"], known, ["--max-requests"])
    with pytest.raises(ConfigError, match="no option --xyz; vllm serve --help lists all"):
        refuse_unknown(["xyz"], known, [])


def test_arguments_as_a_shell_gives_them():
    given = (
        "--a-b",
        "2",
        "--c=x y",
        "--no-d",
        "--e",
        "--f",
        '{"g": [1]}',
        "--h",
        "-1",
        "--i=0.9",
        "--j",
        "auto",
    )
    assert read_arguments(given) == {
        "a_b": 2,
        "c": "x y",
        "d": False,
        "e": True,
        "f": {"g": [1]},
        "h": -1,
        "i": 0.9,
        "j": "auto",
    }
    assert read_arguments(("--a=[",)) == {"a": "["}
    for wrong in (("word",), ("--a", "1", "2"), ("--",), ("-x",)):
        with pytest.raises(ConfigError, match="no option"):
            read_arguments(wrong)


def test_clients_do_not_see_paths(tmp_path):
    assert served_name("nano") == "nano"
    assert served_name("owner/name") == "owner/name"
    (tmp_path / "my-model").mkdir()
    assert served_name(str(tmp_path / "my-model")) == "my-model"
    assert served_name(f"{tmp_path}/my-model/") == "my-model"
