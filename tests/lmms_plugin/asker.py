"""What the model says to a prompt, asked through the package alone: what the plugin's answers must equal."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import torch

import oryx

LETTERS = "ABC"


class Asker:
    """A model, asked greedily."""

    def __init__(self, name):
        self.name = name
        self.model, self.processor = oryx.load(name)

    def says(self, content, max_new_tokens=1):
        """The answer to content parts as they are: visuals, and texts with all their line breaks."""
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            prompt_style="eval",
        )
        with torch.no_grad():
            ids = self.model.generate(**inputs, max_new_tokens=max_new_tokens)
        new = ids[:, inputs["input_ids"].shape[1] :]
        return self.processor.batch_decode(new, skip_special_tokens=True)[0].strip()

    def about(self, visual, text, max_new_tokens=1):
        """The answer to a question under one visual, as the reference's adapters put it."""
        return self.says([visual, {"type": "text", "text": "\n" + text}], max_new_tokens)


def image(picture):
    return {"type": "image", "image": picture}


def video(path, **dials):
    return {"type": "video", "video": str(path), **dials}


def letter_model(folder):
    """A folder with nano's weights, which can say nothing but the letters of options."""
    target = folder / "letters"
    shutil.copytree(Path(str(files("oryx") / "assets" / "nano")), target)
    file = target / "generation_config.json"
    settings = json.loads(file.read_text())
    _, processor = oryx.load(str(target))
    tokenizer = processor.tokenizer
    allowed = {tokenizer(letter, add_special_tokens=False).input_ids[0] for letter in LETTERS}
    settings["suppress_tokens"] = [index for index in range(len(tokenizer)) if index not in allowed]
    file.write_text(json.dumps(settings))
    return target
