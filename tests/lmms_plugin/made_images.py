"""Image benchmarks of multiple choice, in their exact schemas."""

from datasets import Image as ImageColumn
from datasets import Sequence, Value
from lmms_plugin.asker import image
from lmms_plugin.harness import EXAMPLES, Made
from lmms_plugin.made_videos import DIRECTLY
from lmms_plugin.records import gold, lettered, write_repository
from PIL import Image

TEXT, NUMBER, PICTURE = Value("string"), Value("int64"), ImageColumn()
CASES = (
    ("scene", "Where is the red circle?", ["top left", "top right", "bottom left"]),
    ("object", "What shape is it?", ["ring", "cross", "moon"]),
    ("sign", "What does the text say?", ["cat", "world", "stop"]),
)


def make_image_choices(harness, letters):
    return [make(harness, letters) for make in (mmbench, mmmu, ai2d)]


def picture(name):
    return Image.open(EXAMPLES / f"{name}.png").convert("RGB")


def mmbench(harness, letters):
    """One record has a hint; scored by letters, without a judge."""
    hints = ("nan", "The object is alone.", "nan")
    prompts = []
    for hint, (_, question, options) in zip(hints, CASES):
        opening = "" if hint == "nan" else f"{hint} "
        listed = "\n".join(["There are several options:", *lettered(options)])
        prompts.append(f"{opening}{question} {listed}\n\n{DIRECTLY}")
    answers = [letters.about(image(picture(name)), text) for (name, *_), text in zip(CASES, prompts)]
    rows = [
        {
            "index": index,
            "question": question,
            "hint": hint,
            "answer": right,
            **dict(zip("ABCD", [*options, "nan"])),
            "category": "object_localization",
            "image": picture(name),
            "source": "made",
            "L2-category": "finegrained_perception (instance-level)",
            "comment": "nan",
            "split": "dev",
        }
        for index, ((name, question, options), hint, right) in enumerate(zip(CASES, hints, gold(answers)))
    ]
    features = {name: NUMBER if name == "index" else TEXT for name in rows[0]} | {"image": PICTURE}
    write_repository(harness, "lmms-lab-encoder/MMBench", "dev", rows, features, ["en"])
    return Made("oryx_mmbench_en_dev", {"gpt_eval_score,none": 100 / 3, "unparsed,none": 0}, answers)


def mmmu(harness, letters):
    """A picture that is named twice, two pictures, and one that is named in front."""
    questions = (
        "Look at <image 1>, then answer about <image 1>.",
        "Is <image 1> as <image 2> is?",
        "<image 1> What is it?",
    )
    names = (["scene"], ["object", "sign"], ["sign"])
    options = [options for *_, options in CASES]
    texts = [
        f"{question}\n" + "\n".join(lettered(three)) + f"\n\n{DIRECTLY}"
        for question, three in zip(questions, options)
    ]
    answers = [letters.says(_parts(text, own)) for text, own in zip(texts, names)]
    rows = []
    for index, (question, own, three, right) in enumerate(zip(questions, names, options, gold(answers))):
        pictures = [picture(name) for name in own]
        rows.append(
            {
                "id": f"validation_Accounting_{index + 1}",
                "question": question,
                "options": str(three),
                "explanation": "",
                **{f"image_{place + 1}": None for place in range(7)},
                **{f"image_{place + 1}": one for place, one in enumerate(pictures)},
                "img_type": "['Tables']",
                "answer": right,
                "topic_difficulty": "Easy",
                "question_type": "multiple-choice",
                "subfield": "Managerial Accounting",
            }
        )
    features = {name: PICTURE if name.startswith("image_") else TEXT for name in rows[0]}
    write_repository(harness, "lmms-lab-encoder/MMMU", "validation", rows, features)
    return Made("oryx_mmmu_val", {"mmmu_acc,none": round(1 / 3, 5), "unparsed,none": 0}, answers)


def _parts(text, names):
    """Content parts as the reference puts them: pictures, a space between, and a new line before the text."""
    parts = []
    for name in names:
        parts += [{"type": "text", "text": " "}] if parts else []
        parts.append(image(picture(name)))
    return [*parts, {"type": "text", "text": "\n" + text}]


def ai2d(harness, letters):
    prompts = ["\n".join([question, *lettered(options)]) + f"\n{DIRECTLY}" for _, question, options in CASES]
    answers = [letters.about(image(picture(name)), text) for (name, *_), text in zip(CASES, prompts)]
    rows = [
        {"question": question, "options": options, "answer": str("ABC".index(right)), "image": picture(name)}
        for (name, question, options), right in zip(CASES, gold(answers))
    ]
    features = {"question": TEXT, "options": Sequence(TEXT), "answer": TEXT, "image": PICTURE}
    write_repository(harness, "lmms-lab-encoder/ai2d", "test", rows, features)
    return Made("ai2d", {"exact_match,flexible-extract": 1 / 3}, answers)
