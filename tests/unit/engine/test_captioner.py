"""An Oryx model as a captioner says what a session says."""

import io

from factories import make_picture

from oryx.engine.captioner import ModelCaptioner
from oryx.engine.session import Session


def test_pictures_stand_in_front_of_the_prompt(model, processor):
    pictures = [make_picture(24, 40, seed) for seed in (1, 2)]
    files = []
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, "PNG")
        files.append(file.getvalue())
    captioner = ModelCaptioner(model, processor, "tiny", max_new_tokens=6, compression=4)
    session = Session(model, processor)
    for picture in pictures:
        session.add({"type": "image", "image": picture, "compression": 4})
    said = captioner.describe(files, "What?")
    assert said == session.ask("What?", max_new_tokens=6).text
    assert said != captioner.describe(files[:1], "What?")
    assert (captioner.name, captioner.workers, captioner.is_deterministic) == ("tiny", 1, True)
