"""Benchmarks with free answers, in their exact schemas, and needles in haystacks.

Where a record is to be answered right, its answer is what the model says; where not, another.
"""

from datasets import Image as ImageColumn
from datasets import Sequence, Value
from lmms_plugin.asker import image, video
from lmms_plugin.harness import Made
from lmms_plugin.made_images import picture
from lmms_plugin.records import write_repository

from oryx.data.builders.haystack.needles import drawn_needles
from oryx.data.builders.haystack.sources import open_haystack
from oryx.data.builders.haystack.write import write_haystacks

TEXT, NUMBER, PICTURE = Value("string"), Value("int64"), ImageColumn()
ASKED = (("sign", "what does the text say?"), ("scene", "Where is the red circle?"), ("word", "Read it."))
SHORT = "\nAnswer the question using a single word or phrase."


def make_free(harness, nano):
    return [make(harness, nano) for make in (docvqa, ocrbench, textvqa)]


def docvqa(harness, nano):
    """ANLS: one answer is right, one is one letter away from right, one is nothing like it."""
    answers = [nano.about(image(picture(name)), question + SHORT, 32) for name, question in ASKED]
    near = answers[1] + "x"
    golds = [["else", answers[0].upper()], [near], ["9" * len(answers[2])]]
    rows = [
        {
            "questionId": str(index + 1),
            "question": question,
            "question_types": ["layout"],
            "image": picture(name),
            "docId": index,
            "ucsf_document_id": "x",
            "ucsf_document_page_no": "1",
            "answers": golds[index],
        }
        for index, (name, question) in enumerate(ASKED)
    ]
    lists = {"question_types", "answers"}
    features = {name: Sequence(TEXT) if name in lists else TEXT for name in rows[0]}
    features |= {"image": PICTURE, "docId": NUMBER}
    write_repository(harness, "lmms-lab-encoder/DocVQA", "validation", rows, features, ["DocVQA"])
    anls = (1 + (1 - 1 / len(near)) + 0) / 3
    return Made("docvqa_val", {"anls,none": anls}, answers)


def ocrbench(harness, nano):
    """Right where the answer holds the expected text; out of 1,000 questions, however many are asked."""
    answers = [nano.about(image(picture(name)), question, 128) for name, question in ASKED]
    golds = [[answers[0].upper()], ["9999"], ["zzzz", answers[2][1:]]]
    kinds = ("Regular Text Recognition", "Scene Text-centric VQA", "Handwriting Recognition")
    rows = [
        {"dataset": "made", "question": question, "question_type": kind, "answer": gold}
        | {"image": picture(name)}
        for (name, question), kind, gold in zip(ASKED, kinds, golds)
    ]
    features = {"dataset": TEXT, "question": TEXT, "question_type": TEXT, "answer": Sequence(TEXT)}
    write_repository(harness, "echo840/OCRBench", "test", rows, {**features, "image": PICTURE})
    return Made("ocrbench", {"ocrbench_accuracy,none": 2 / 1000}, answers)


def textvqa(harness, nano):
    """Ten people answered; agreeing with two of them, the score is what is left when one at a time is out."""
    prompts = [question.capitalize() + SHORT for _, question in ASKED]
    answers = [nano.about(image(picture(name)), text, 1024) for (name, _), text in zip(ASKED, prompts)]
    golds = [[answers[0]] * 10, [answers[1]] * 2 + ["nothing"] * 8, ["nothing"] * 10]
    rows = [
        {
            "image_id": "x",
            "question_id": index,
            "question": question,
            "question_tokens": question.split(),
            "image": picture(name),
            "image_width": 64,
            "image_height": 64,
            "flickr_original_url": "",
            "flickr_300k_url": "",
            "answers": golds[index],
            "image_classes": [],
            "set_name": "val",
            "ocr_tokens": [],
        }
        for index, (name, question) in enumerate(ASKED)
    ]
    lists = {"question_tokens", "answers", "image_classes", "ocr_tokens"}
    features = {name: Sequence(TEXT) if name in lists else TEXT for name in rows[0]}
    features |= dict.fromkeys(("question_id", "image_width", "image_height"), NUMBER) | {"image": PICTURE}
    write_repository(harness, "lmms-lab-encoder/textvqa", "validation", rows, features)
    two_agree = (2 * min(1, 1 / 3) + 8 * min(1, 2 / 3)) / 10
    return Made("textvqa_val", {"exact_match,none": (1 + two_agree + 0) / 3}, answers)


def make_needle(harness, nano):
    """The haystacks that `oryx data haystack` writes: (what was made, their folder)."""
    folder = harness.root / "haystacks"
    needles = drawn_needles(0, 32, 32)
    records = write_haystacks(
        folder, open_haystack("drawn", 0, 32, 32), needles, [8, 16], [0.0, 100.0], 1, layout="folder"
    )
    answers, right = [], 0
    for record in records:
        frames = video(folder / record["visuals"][0]["video"], max_frames=record["num_frames"])
        question, expected = (turn["value"] for turn in record["conversations"])
        answers.append(nano.about(frames, question.removeprefix("<image>\n"), 24))
        right += answers[-1].lower().rstrip(".") == expected.lower()
    assert right, "nano finds no needle of 16 frames"
    return Made("oryx_needle", {"exact,none": right / 4, "contains,none": right / 4}, answers), folder
