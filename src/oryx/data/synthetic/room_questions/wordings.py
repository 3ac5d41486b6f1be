"""Wordings of the questions about rooms; the first of each kind is the one that the model card names."""

WORDINGS: dict[str, tuple[str, ...]] = {
    "exists": (
        "Is there {a_label} in the room?",
        "Does the room have {a_label}?",
        "Do you see {a_label} in any of the views?",
    ),
    "list": (
        "What objects are in the room?",
        "Which objects does the room hold?",
        "Name the objects in the room.",
    ),
    "count": (
        "How many {labels} are there in the room?",
        "How many different {labels} does the room have?",
        "Count the {labels} in the room.",
    ),
    "in_view": (
        "Is there {a_label} in view {view}?",
        "Does view {view} show {a_label}?",
        "Can you see {a_label} in view {view}?",
    ),
    "what_in_view": (
        "What objects are in view {view}?",
        "What does view {view} show?",
        "Name the objects in view {view}.",
    ),
    "count_in_view": (
        "How many {labels} are in view {view}?",
        "How many {labels} does view {view} show?",
        "Count the {labels} in view {view}.",
    ),
    "side": (
        "In view {view}, is the {first} left or right of the {second}?",
        "Is the {first} to the left or to the right of the {second} in view {view}?",
    ),
    "nearer": (
        "Which is nearer to the camera in view {view}: the {first} or the {second}?",
        "In view {view}, what is closer to the camera: the {first} or the {second}?",
    ),
    "views_of": (
        "Which views show the {label}?",
        "In which views is the {label}?",
        "In which views can you see the {label}?",
    ),
    "same": (
        "Is the {label} in view {view} the same {label} as in view {other}?",
        "Do view {view} and view {other} show the same {label}?",
    ),
    "find": (
        "Is the {label} of view {view} on the left or on the right in view {other}?",
        "The {label} in view {view}: is it left or right in view {other}?",
    ),
    "mark_name": (
        "What is object {number}?",
        "What is the object with number {number}?",
        "Name object {number}.",
    ),
    "mark_number": (
        "Which number is on the {label}?",
        "What is the number of the {label}?",
    ),
    "mark_views": ("In which views is object {number}?", "Which views show object {number}?"),
    "mark_side": (
        "In view {view}, is object {first} left or right of object {second}?",
        "Is object {first} to the left or to the right of object {second} in view {view}?",
    ),
    "mark_nearer": (
        "Which is nearer to the camera in view {view}: object {first} or object {second}?",
        "In view {view}, what is closer to the camera: object {first} or object {second}?",
    ),
}
