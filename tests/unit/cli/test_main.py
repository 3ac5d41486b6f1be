"""How the command line starts, and how errors leave it."""

import subprocess
import sys

import pytest

import oryx
from oryx.cli import main as cli
from oryx.errors import MediaError

COMMANDS = ("ask", "chat", "plan", "convert", "verify", "train", "web")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=["oryx", *COMMANDS])
def test_every_command_explains_itself(run, command):
    result = run(*command, "--help")
    assert result.code == 0
    assert "Usage: oryx" in result.out


def test_without_arguments_it_shows_its_help(run):
    assert "Commands" in run().out


def test_help_and_plans_import_neither_torch_nor_transformers(native, picture):
    calls = [["--help"], ["ask", "--help"], ["plan", str(picture()), "--model", str(native)]]
    code = (
        f"import sys; from oryx.cli.main import main; codes = [main(call) for call in {calls!r}]; "
        "print(codes, [name for name in ('torch', 'transformers') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "[0, 0, 0] []\n"


def test_python_m_oryx_is_the_command_and_gives_its_exit_code():
    done = subprocess.run(
        [sys.executable, "-m", "oryx", "ask", "missing.png", "What?"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("oryx: 'missing.png' does not exist")


def test_version(run):
    assert run("--version") == (0, f"oryx {oryx.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fly"], "fly"),
        (["plan"], "media are missing"),
        (["plan", "x.png", "--fast"], "--fast"),
        (["ask", "hi", "--max-new-tokens", "0"], "--max-new-tokens"),
        (["ask", "hi", "--max-new-tokens", "many"], "--max-new-tokens"),
        (["ask", "hi", "--temperature", "-1"], "--temperature"),
        (["ask", "hi", "--temperature", "nan"], "--temperature"),
        (["ask", "hi", "--prompt-style", "odd"], "eval"),
        (["ask"], "question"),
    ],
)
def test_usage_errors_are_one_sentence(refused, arguments, sentence):
    assert sentence.lower() in refused(*arguments).lower()


def echo() -> MediaError:
    error = MediaError("the file is odd.")
    error.is_echo = True
    return error


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (MediaError("the file\nis odd."), 2, "oryx: the file is odd.\n"),
        (RuntimeError("inside"), 1, "oryx: RuntimeError: inside (--debug shows where)\n"),
        (KeyboardInterrupt(), 130, ""),
        (echo(), 2, ""),
    ],
    ids=["user", "bug", "interrupt", "said by another process"],
)
def test_exit_codes(run, monkeypatch, error, code, text):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("oryx.cli.media.read_media", fail)
    result = run("plan", "x.png")
    assert (result.code, result.out, result.err.lstrip("\n")) == (code, "", text)


@pytest.mark.parametrize("arguments", [("--debug", "plan", "x.png"), ("plan", "x.png", "--debug")])
def test_debug_shows_the_traceback(run, arguments):
    result = run(*arguments)
    assert result.code == 2
    assert "Traceback" in result.err


def test_debug_after_two_dashes_is_an_argument():
    assert cli._take_debug(["ask", "--", "--debug"]) == (["ask", "--", "--debug"], False)
    assert cli._take_debug(["ask", "--debug", "--", "x"]) == (["ask", "--", "x"], True)


def test_our_warnings_are_one_line_and_others_are_silent(run, monkeypatch):
    import logging
    import warnings

    def warn(*_: object) -> None:
        warnings.warn("of a library", stacklevel=1)
        logging.getLogger("library").warning("of a library")
        logging.getLogger("oryx.media.video").warning("clip.mp4 is cut off")
        raise MediaError("stop.")

    monkeypatch.setattr("oryx.cli.media.read_media", warn)
    assert run("plan", "x.png").err == "oryx: clip.mp4 is cut off\noryx: stop.\n"
