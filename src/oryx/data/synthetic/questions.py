"""Wordings of all questions; the first of each kind is the one the model card names.

Numbers of frames count from 0, as the published method's do: a video of 24 frames ends with frame 23.
"""

import random
from collections.abc import Mapping, Sequence

# Key of WORDINGS, the words it takes, the one right answer. Worded only when chosen, which saves time.
Question = tuple[str, dict[str, str], str]
Turn = tuple[str, str]

PLACES = ("top left", "top right", "center", "bottom left", "bottom right")  # in reading order
DIRECTIONS = ("left", "right", "up", "down")

WORDINGS: dict[str, tuple[str, ...]] = {
    "words": (
        "What does the text say?",
        "Read the text.",
        "What is written here?",
        "Read the word.",
        "What word is this?",
        "What does it say?",
    ),
    "color": (
        "What color is the object?",
        "What is the color of the object?",
        "Which color does the object have?",
        "What colour is the object?",
        "Name the color of the object.",
    ),
    "shape": (
        "What shape is the object?",
        "What is the shape of the object?",
        "Which shape does the object have?",
        "Name the shape of the object.",
    ),
    "where": (
        "Where is the object?",
        "In which part of the image is the object?",
        "What is the position of the object?",
    ),
    "color_of_shape": (
        "What color is the {shape}?",
        "What is the color of the {shape}?",
        "What colour is the {shape}?",
    ),
    "shape_of_color": (
        "What shape is the {color} object?",
        "What is the shape of the {color} object?",
        "Which shape is {color}?",
    ),
    "where_is": (
        "Where is the {color} {shape}?",
        "In which part of the image is the {color} {shape}?",
        "What is the position of the {color} {shape}?",
    ),
    "where_color": (
        "Where is the {color} object?",
        "In which part of the image is the {color} object?",
    ),
    "where_shape": (
        "Where is the {shape}?",
        "In which part of the image is the {shape}?",
    ),
    "what_at": (
        "What is at the {place}?",
        "Which object is at the {place}?",
        "What do you see at the {place}?",
        "Name the object at the {place}.",
    ),
    "count": (
        "How many objects are there?",
        "How many objects are in the image?",
        "How many objects do you see?",
        "Count the objects.",
    ),
    "count_color": (
        "How many {color} objects are there?",
        "How many {color} objects are in the image?",
        "How many objects are {color}?",
        "Count the {color} objects.",
    ),
    "count_shape": (
        "How many {shapes} are there?",
        "How many {shapes} are in the image?",
        "Count the {shapes}.",
    ),
    "describe": (
        "Describe the image.",
        "Describe the picture.",
        "What is in the image?",
        "What do you see?",
    ),
    "thing": (
        "What is this?",
        "What is shown?",
        "Name the object.",
        "Name the thing.",
        "What does the picture show?",
    ),
    "is_there": (
        "Is there {phrase}?",
        "Do you see {phrase}?",
        "Is there {phrase} in the image?",
    ),
    "are_there": (
        "Are there {phrase}?",
        "Do you see {phrase}?",
        "Are there {phrase} in the image?",
    ),
    "where_thing": (
        "Where is the {name}?",
        "In which part of the image is the {name}?",
        "What is the position of the {name}?",
    ),
    "where_things": (
        "Where are the {name}?",
        "In which part of the image are the {name}?",
        "What is the position of the {name}?",
    ),
    "count_things": (
        "How many things are there?",
        "How many things are in the image?",
        "How many things do you see?",
        "Count the things.",
    ),
    "page": (
        "What does the text say?",
        "Read the text.",
        "Read all the text.",
        "Read all lines.",
        "What is written here?",
    ),
    "line": (
        "What does line {number} say?",
        "Read line {number}.",
        "What is written in line {number}?",
    ),
    "first_line": (
        "What does the first line say?",
        "Read the first line.",
        "What is the first line?",
    ),
    "last_line": (
        "What does the last line say?",
        "Read the last line.",
        "What is the last line?",
    ),
    "first_word": (
        "What is the first word?",
        "Read the first word.",
        "Which word comes first?",
    ),
    "last_word": (
        "What is the last word?",
        "Read the last word.",
        "Which word comes last?",
    ),
    "count_lines": (
        "How many lines are there?",
        "How many lines of text are there?",
        "Count the lines.",
    ),
    "first": (
        "What comes first?",
        "What is shown first?",
        "Which object comes first?",
        "What is the first object?",
    ),
    "last": (
        "What comes last?",
        "What is shown last?",
        "Which object comes last?",
        "What is the last object?",
    ),
    "after": (
        "What comes after the {color} {shape}?",
        "What is shown after the {color} {shape}?",
        "What comes next after the {color} {shape}?",
        "Which object follows the {color} {shape}?",
    ),
    "before": (
        "What comes before the {color} {shape}?",
        "What is shown before the {color} {shape}?",
        "Which object comes before the {color} {shape}?",
    ),
    "describe_video": (
        "Describe the video.",
        "What happens in the video?",
        "What do you see in the video?",
    ),
    "direction": (
        "Which direction does the object move?",
        "In which direction does the object move?",
        "Where does the object move?",
        "Which way does the object go?",
        "What direction is the object moving?",
    ),
    "needle": (
        "What object is shown?",
        "Which object is shown?",
        "Which object is in the video?",
        "What object appears in the video?",
        "What is the object in the video?",
    ),
    "frame_at": (
        "What is in frame {index}?",
        "What does frame {index} show?",
        "What is shown in frame {index}?",
        "Which object is in frame {index}?",
        "Name the object in frame {index}.",
    ),
    "frame_color": (
        "What color is the object in frame {index}?",
        "What is the color of the object in frame {index}?",
        "What colour is the object in frame {index}?",
    ),
    "frame_shape": (
        "What shape is the object in frame {index}?",
        "What is the shape of the object in frame {index}?",
        "Which shape is in frame {index}?",
    ),
    "first_frame": (
        "In which frame does the {color} {shape} first appear?",
        "Which frame is the first to show the {color} {shape}?",
        "What is the first frame with the {color} {shape}?",
    ),
    "frames_differ": (
        "How do frames {first} and {second} differ?",
        "What is the difference between frames {first} and {second}?",
        "What differs between frame {first} and frame {second}?",
        "What changes from frame {first} to frame {second}?",
    ),
    "pictures_differ": (
        "How do the two pictures differ?",
        "What is the difference between the two pictures?",
        "What is the difference between the two images?",
        "What differs between the pictures?",
        "What changes from the first picture to the second?",
    ),
}

DESCRIPTIONS = ("describe", "describe_video")
"""Kinds whose answers also answer questions that name nothing, such as what comes first."""

# Said before a question about a long video.
FRAME_COUNTS = (
    "This video has {frames} frames.",
    "The video has {frames} frames.",
    "There are {frames} frames in the video.",
)


def choose_turns(
    rng: random.Random,
    candidates: Mapping[str, Sequence[Question]],
    number: int,
    wordings: str = "all",
    table: Mapping[str, Sequence[str]] = WORDINGS,
) -> list[Turn]:
    """Up to `number` (question, answer): one of every kind in random order, then again of what is left.

    None can be answered from an earlier one without a look at the picture, as "What comes after A?" could
    behind "What comes before B?" with the answer A.

    `wordings` "all" words each in one of its ways, the first most often; "first" always in its first.
    `table` holds the wordings.
    """
    piles = [list(questions) for questions in candidates.values() if questions]
    rng.shuffle(piles)
    turns: list[Turn] = []
    told: list[tuple[set[str], bool]] = []  # words said in each turn, and whether they are of the whole
    while piles and len(turns) < number:
        pile = piles.pop(0)
        key, words, answer = pile.pop(rng.randrange(len(pile)))
        known = _said(words, answer)
        if any(known <= said and (words or tells_all) for said, tells_all in told):
            if pile:
                piles.insert(0, pile)  # another one of its kind
            continue
        told.append((known, key in DESCRIPTIONS))
        first = wordings == "first" or rng.random() < 0.3
        text = table[key][0] if first else rng.choice(table[key])
        turns.append((text.format(**words) if words else text, answer))
        if pile:
            piles.append(pile)
    return turns


def _said(words: Mapping[str, str], answer: str) -> set[str]:
    """What a question and its answer say that its wording does not."""
    return {word.strip(",.") for text in (*words.values(), answer) for word in text.split()}


def tell_frames(rng: random.Random, question: str, num_frames: int, wordings: str = "all") -> str:
    """The question, after a sentence that says how many frames the video has."""
    text = FRAME_COUNTS[0] if wordings == "first" else rng.choice(FRAME_COUNTS)
    return f"{text.format(frames=num_frames)} {question}"


def all_wordings(key: str, **words: str) -> list[str]:
    """Every wording of one kind of question."""
    return [text.format(**words) for text in WORDINGS[key]]


def plural(shape: str) -> str:
    """ "circles", "crosses"."""
    return shape + ("es" if shape.endswith("s") else "s")


def with_article(phrase: str) -> str:
    """ "a red circle", "an orange star"."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def listed(phrases: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]]) if len(phrases) > 1 else phrases[0]
