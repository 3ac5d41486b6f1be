"""`pipeline("image-text-to-text")` says what `generate` says, alone and in batches."""

import pytest
import torch
from factories import make_model, make_picture, make_processor
from transformers import pipeline

PICTURES = [make_picture(24, 40, 1), make_picture(48, 16, 2), make_picture(16, 16, 3)]
QUESTIONS = ["What?", "Where is the red circle?", "Who"]
GREEDY = {"max_new_tokens": 5, "do_sample": False}


def as_messages(picture, question):
    content = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
    return [{"role": "user", "content": content}]


@pytest.fixture(scope="module")
def parts():
    model = make_model()
    # Bytes that are no characters would all decode to the same sign: keep to printable ones.
    with torch.no_grad():
        model.get_output_embeddings().weight[95:] = 0
    return model, make_processor()


@pytest.fixture(scope="module")
def pipe(parts):
    model, processor = parts
    return pipeline("image-text-to-text", model=model, processor=processor)


@pytest.fixture(scope="module")
def answers(parts):
    model, processor = parts
    found = []
    for picture, question in zip(PICTURES, QUESTIONS):
        inputs = processor.apply_chat_template(
            as_messages(picture, question), add_generation_prompt=True, tokenize=True, return_dict=True
        )
        ids = model.generate(**inputs, **GREEDY)
        found.append(
            processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]
        )
    assert len(set(found)) > 1
    return found


@pytest.mark.parametrize("batch_size", [1, 2])
def test_chat_messages(pipe, answers, batch_size):
    chats = [as_messages(picture, question) for picture, question in zip(PICTURES, QUESTIONS)]
    outputs = pipe(text=chats, batch_size=batch_size, return_full_text=False, generate_kwargs=GREEDY)
    outputs = [output[0] if isinstance(output, list) else output for output in outputs]
    assert [output["generated_text"] for output in outputs] == answers


def test_text_and_images(pipe, parts, answers):
    _, processor = parts
    prompt = processor.apply_chat_template(
        as_messages(PICTURES[0], QUESTIONS[0]), add_generation_prompt=True, tokenize=False
    )
    (output,) = pipe(text=prompt, images=[PICTURES[0]], return_full_text=False, generate_kwargs=GREEDY)
    assert output["generated_text"] == answers[0]
