"""200 made answers about rooms with their references, edge cases first; the same on every machine."""

import hashlib
from dataclasses import dataclass

TEXT = """
chair table desk window door bed couch lamp shelf cabinet brown black white dark light red left right front
behind next to of in on the a an two three 4 10 23 it is at corner round square wooden TV near room trash can
kitchen o'clock none backwards
"""
WORDS = TEXT.split()

EDGES = (
    ("", ("brown",)),
    ("   ", ("brown", "dark brown")),
    ("...", ("table",)),
    ("brown", ("brown",)),
    ("Brown.", ("brown",)),
    ("brown", ("dark brown", "brown")),
    ("brown", ("brown", "brown")),
    ("2", ("two", "2 chairs")),
    ("two chairs", ("2 chairs", "chairs")),
    ("a table", ("table", "the table")),
    ("the the the the", ("the",)),
    ("in front of the desk", ("in front of desk", "by the desk", "in the front of the desk")),
    ("to the left of bed", ("right of the bed", "left of the bed")),  # references equally near in length
    ("one two three", ("one two", "one two three four")),
    ("café", ("café", "cafe")),
    ("cafe\u0301", ("café",)),
    ("naïve “TV” stand — old", ("TV stand", "tv")),
    ("椅子", ("椅子", "chair")),
    ("😀", ("chair",)),
    ("chair 😀", ("chair",)),
    ("½ full", ("1/2 full", "half full")),
    ("Straße", ("strasse", "STRASSE")),
    ("İstanbul", ("istanbul",)),
    ("it's black & white", ("black and white", "it is black")),
    ("(brown) [dark]", ("brown", "dark brown")),
    ("brown | black", ("brown", "black")),
    ("left-hand side", ("left hand side", "on the left-hand side")),
    ("10:30", ("ten thirty", "10:30")),
    ("6 oclock", ("6 o' clock", "six o'clock")),
    ("chair2", ("chair", "chair3")),
    ("tehre rigth letf", ("there right left",)),
    ("let's see", ("left",)),
    ("it faces backwards", ("backward", "backwards")),
    ("line one\nline two", ("line one line two",)),
    ("a\tb", ("a b", "b")),
    ("chair .", ("chair",)),
    ("brown  chair", ("brown chair",)),
    ("yes, it is, isn't it?", ("yes", "no, it isn't")),
    ("none", ("zero", "0")),
    ("the " * 40 + "end", ("the end",)),
    ("<b>chair</b> &amp; table", ("chair and table",)),
)


@dataclass(frozen=True)
class MadeAnswer:
    """One answer; `question` decides its kind."""

    id: str
    scene: str
    question: str
    answer: str
    references: tuple[str, ...]


class _Draws:
    """Whole numbers from a name: Python's `random` may draw otherwise in another version."""

    def __init__(self, name: str) -> None:
        self.name, self.count = name, 0

    def below(self, limit: int) -> int:
        self.count += 1
        digest = hashlib.sha256(f"{self.name} {self.count}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit

    def phrase(self, longest: int) -> list[str]:
        return [WORDS[self.below(len(WORDS))] for _ in range(1 + self.below(longest))]


QUESTIONS = (
    "Where is the chair?",
    "How many chairs are there?",
    "What color is the chair?",
    "What is on the desk?",
    "What shape is the table?",
    "What kind of table is it?",
    "Is the door open?",
    "Can I see the bed?",
    "Which way do I turn?",
    "Am I near the bed?",
)


def made_answers(number: int = 200) -> list[MadeAnswer]:
    """The edge cases, then drawn answers: some right, some nearly, some with nothing in common."""
    made = []
    for index in range(number):
        draws = _Draws(f"answer {index}")
        answer, references = EDGES[index] if index < len(EDGES) else _drawn(draws)
        scene = f"scene{draws.below(12):04}_00"
        question = QUESTIONS[draws.below(len(QUESTIONS))]
        made.append(MadeAnswer(f"made-{index}", scene, question, answer, references))
    return made


def _drawn(draws: _Draws) -> tuple[str, tuple[str, ...]]:
    references = [draws.phrase(7) for _ in range(1 + draws.below(3))]
    words = list(references[draws.below(len(references))])
    change = draws.below(4)
    if change == 1:
        words[draws.below(len(words))] = WORDS[draws.below(len(WORDS))]
    elif change == 2:
        words = [*draws.phrase(2), *words]
    elif change == 3:
        words = draws.phrase(6)
    said = " ".join(words)
    if draws.below(5) == 0:
        said = f"{said.capitalize()}."
    return said, tuple(map(" ".join, references))
