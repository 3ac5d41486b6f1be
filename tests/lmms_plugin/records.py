"""Made records as the data sets hold them."""

import shutil

from datasets import Dataset, Features
from lmms_plugin.harness import EXAMPLES

# (video, question, options). Every right answer is a letter that the model says, every wrong one is another.
CASES = (
    ("order", "What comes first?", ["red circle", "green star", "blue square"]),
    ("moving", "Which way does the object move?", ["left", "right", "up"]),
    ("order", "What comes last?", ["black ring", "red circle", "orange star"]),
)
IS_RIGHT = (True, False, False)


def write_repository(harness, name, split, rows, features, configs=("default",)):
    """A data set as the hub gives it: a folder of Parquet, and a README that says what belongs to what.

    Written once more for other configs, it has those as well.
    """
    folder = harness.hub / name
    for config in configs:
        (folder / config).mkdir(parents=True, exist_ok=True)
        table = Dataset.from_list(rows, features=Features(features))
        table.to_parquet(folder / config / f"{split}-00000-of-00001.parquet")
    entries = []
    for config in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        (file,) = (folder / config).glob("*.parquet")
        entries.append(
            f"- config_name: {config}\n  data_files:\n  - split: {file.name.partition('-')[0]}\n"
            f"    path: {config}/{file.name}\n"
        )
    (folder / "README.md").write_text("---\nconfigs:\n" + "".join(entries) + "---\n")


def put_videos(folder, names=("order", "moving"), suffix=".mp4"):
    """The example videos, in a benchmark's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(EXAMPLES / f"{name}.mp4", folder / f"{name}{suffix}")


def other(letter, letters="ABC"):
    """A letter that is not this one."""
    return letters[(letters.index(letter) + 1) % len(letters)]


def gold(said):
    """The right letters of three records of which the model, which says `said`, is right about the first."""
    return [letter if is_right else other(letter) for letter, is_right in zip(said, IS_RIGHT)]


def lettered(options, form="{}. {}"):
    return [form.format(letter, text) for letter, text in zip("ABCDE", options)]
