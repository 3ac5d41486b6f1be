"""An Oryx model as a captioner says what a session says."""

import io

import pytest
from factories import make_picture

from oryx.engine.captioner import ModelCaptioner
from oryx.engine.session import Session
from oryx.errors import CaptionError

PICTURES = [make_picture(24, 40, seed) for seed in (1, 2)]


@pytest.fixture
def files():
    """The pictures as PNG."""
    made = []
    for picture in PICTURES:
        file = io.BytesIO()
        picture.save(file, "PNG")
        made.append(file.getvalue())
    return made


@pytest.fixture
def session(model, processor):
    """A conversation about both pictures."""
    session = Session(model, processor)
    for picture in PICTURES:
        session.add({"type": "image", "image": picture, "compression": 4})
    return session


@pytest.fixture
def end(session, model, monkeypatch):
    """Tokens of the session's answer to "What?", the last of which now ends answers."""
    prompt = session.prompt("What?")
    output = model.generate(**prompt, max_new_tokens=16, do_sample=False)
    said = output[0, prompt["input_ids"].shape[1] :].tolist()
    place = max(place for place, token in enumerate(said) if token not in said[:place])
    assert place > 1
    monkeypatch.setattr(model.generation_config, "eos_token_id", said[place])
    return place + 1


def test_pictures_stand_in_front_of_the_prompt(model, processor, files, session, end):
    captioner = ModelCaptioner(model, processor, "tiny", max_new_tokens=20, compression=4)
    said = captioner.describe(files, "What?")
    assert said
    assert said == session.ask("What?", max_new_tokens=20).text
    assert said != captioner.describe(files[:1], "What?")
    assert (captioner.name, captioner.workers, captioner.is_deterministic) == ("tiny", 1, True)


def test_an_answer_that_is_cut_off_is_none(model, processor, files, end):
    captioner = ModelCaptioner(model, processor, "tiny", max_new_tokens=end, compression=4)
    assert captioner.describe(files, "What?")  # it ends with the last token that it may have
    captioner.max_new_tokens = end - 1
    with pytest.raises(CaptionError, match=f"cut off at {end - 1} tokens") as caught:
        captioner.describe(files, "What?")
    assert (caught.value.kind, caught.value.is_outage) == ("cut off", False)
