"""About a room as a whole: what is in it, and how many."""

import random

from oryx.data.synthetic.questions import Question
from oryx.data.synthetic.room_questions.asked import (
    Asked,
    absent,
    certain,
    counted,
    name_things,
    named,
    yes_or_no,
)


def exists(rng: random.Random, asked: Asked) -> list[Question]:
    """Yes or no: is there one in the room?"""
    there = sorted({thing.label for thing in asked.things if thing.clear_views})
    yes = [named("exists", label, "yes") for label in there]
    no = [named("exists", label, "no") for label in absent(asked, asked.things)]
    return yes_or_no(rng, yes, no)


def list_things(_: random.Random, asked: Asked) -> list[Question]:
    """All things by name, in the order of the names."""
    sure = certain(asked)
    if not sure or any(thing.is_doubtful for thing in asked.things):
        return []
    counts = {label: len(things) for label, things in sure.items()}
    return [("list", {}, name_things(counts, asked.labels))]


def count(rng: random.Random, asked: Asked) -> list[Question]:
    """How many of a name the room holds."""
    return counted(rng, asked, {label: len(things) for label, things in certain(asked).items()}, "count")
