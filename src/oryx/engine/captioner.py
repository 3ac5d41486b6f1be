"""An Oryx model as a captioner of pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from oryx.engine.session import Session
from oryx.errors import CaptionError

if TYPE_CHECKING:
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.processor import OryxProcessor


class ModelCaptioner:
    """Describes pictures, greedily. What `oryx data needle` takes in place of an endpoint.

        captioner = ModelCaptioner(*oryx.load("nano"), name="nano")

    Args:
        model, processor: as `oryx.load` gives them.
        name: for the log.
        max_new_tokens: the longest answer.
        compression: ratio of every picture; None for the default of pictures, 1.
    """

    workers = 1
    is_deterministic = True

    def __init__(
        self,
        model: OryxForConditionalGeneration,
        processor: OryxProcessor,
        name: str,
        max_new_tokens: int = 400,
        compression: int | None = None,
    ) -> None:
        self.model = model
        self.processor = processor
        self.name = name
        self.max_new_tokens = max_new_tokens
        self.compression = compression

    def describe(self, pictures: Sequence[bytes], prompt: str) -> str:
        """The answer to `prompt` about pictures (the bytes of their files), which stand in front of it.

        Raises:
            CaptionError: `max_new_tokens` cut the answer off: half a sentence is no caption.
            ConfigError: pictures and answer are longer than the model reads.
        """
        session = Session(self.model, self.processor)
        for picture in pictures:
            with Image.open(io.BytesIO(picture)) as image:
                session.add({"type": "image", "image": image.convert("RGB"), "compression": self.compression})
        answer = session.ask(prompt, max_new_tokens=self.max_new_tokens)
        if answer.is_cut_off:
            problem = (
                f"{self.name} did not come to an end: its answer was cut off at {self.max_new_tokens} tokens"
            )
            raise CaptionError(f"{problem} (--max-tokens)", False, kind="cut off")
        return answer.text
