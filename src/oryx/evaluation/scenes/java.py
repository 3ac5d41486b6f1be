"""The two scorers that are Java programs, both inside `pycocoevalcap`: the PTB tokenizer and METEOR 1.5.

`pycocoevalcap`'s own drivers write into the folder that it is installed in, and a line break other than
`\\n` makes two texts of one, which gives every later one another's tokens. These do neither; the programs are
the same.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from oryx.errors import ConfigError

INSTALL_JAVA = "Java (such as `apt-get install default-jre-headless`)"

_TOKENIZER = "edu.stanford.nlp.process.PTBTokenizer"


def has_java() -> bool:
    """Whether `java` is there and runs: on macOS a stub of that name only says that it is not installed."""
    if shutil.which("java") is None:
        return False
    try:
        return subprocess.run(["java", "-version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def one_line(text: str) -> str:
    """The text with a space for every line break, of any kind."""
    return " ".join(text.splitlines())


def tokenize(texts: Sequence[str]) -> list[str]:
    """The PTB tokens of each text, lower case, without punctuation, with spaces between.

    Raises:
        ConfigError: the program failed.
    """
    from pycocoevalcap.tokenizer import ptbtokenizer

    jar = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
    command = ["java", "-cp", str(jar), _TOKENIZER, "-preserveLines", "-lowerCase"]
    text = "".join(f"{one_line(text)}\n" for text in texts)
    try:
        done = subprocess.run(command, input=text.encode("utf-8", "replace"), capture_output=True)
    except OSError as error:
        raise ConfigError(f"the PTB tokenizer could not be run ({error.strerror}).") from None
    lines = done.stdout.decode("utf-8", "replace").split("\n")[:-1]
    if done.returncode or len(lines) != len(texts):
        raise ConfigError(f"the PTB tokenizer failed: {_last_line(done.stderr)}.")
    left_out = set(ptbtokenizer.PUNCTUATIONS)
    return [" ".join(word for word in line.rstrip().split(" ") if word not in left_out) for line in lines]


class Meteor:
    """METEOR 1.5 for English, as `pycocoevalcap` runs it. A context manager: the program ends with it."""

    def __enter__(self) -> Self:
        spec = find_spec("pycocoevalcap.meteor")
        folder = Path(next(iter(spec.submodule_search_locations or [])) if spec else "")
        command = ["java", "-jar", "-Xmx2G", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise ConfigError(f"METEOR could not be run ({error.strerror}).") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def counts(self, answer: str, references: Sequence[str]) -> list[float]:
        """What METEOR counts in one answer (23 numbers), such that sums over answers can be scored.

        An answer in pieces costs; one that is its reference is one piece and costs nothing, so its piece is
        not counted. METEOR's own sums have this rule as well.
        """
        # What METEOR reads as the end of a text cannot be in it.
        parts = [one_line(text).replace("|||", "").replace("  ", " ") for text in (*references, answer)]
        counts = [float(number) for number in self._ask(" ||| ".join(["SCORE", *parts])).split()]
        pieces, *matches = counts[-3:]
        if pieces == 1 and matches == counts[:2]:
            counts[-3] = 0.0
        return counts

    def score(self, counts: Sequence[float]) -> float:
        """The score, 0 to 1, of the sum of the counts of some answers."""
        said = self._ask(f"EVAL ||| {' '.join(map(str, map(float, counts)))}")
        self._read()  # the same once more: the whole of this one
        return float(said)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode("utf-8", "replace"))
            self._process.stdin.flush()
        except OSError:
            raise ConfigError("METEOR ended too early; it needs 2 GB of free memory.") from None
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().decode().strip()
        if not said:
            raise ConfigError("METEOR ended too early; it needs 2 GB of free memory.")
        return said


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].rstrip(".") if lines else "it said nothing"
