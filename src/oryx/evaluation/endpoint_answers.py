"""Answers of a model behind an address: any endpoint that speaks the OpenAI chat protocol.

`oryx serve` is told the dials, and gets videos as lossless files and views as a scene: it reads exactly the
pixels that a model in memory would. Any other endpoint gets frames and views as pictures in their order.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
from PIL import Image

from oryx.data.builders.needle.workers import Workers
from oryx.data.synthetic import Sample
from oryx.endpoint import ChatEndpoint, ChatReply, EndpointError, media_part
from oryx.errors import ConfigError
from oryx.evaluation.answers import Answer, question_of
from oryx.evaluation.output import endpoint_facts
from oryx.media.image import ORIENTATION_TAG, ImageSource, open_header, open_image

_OWNER = "oryx"
_RETRIES, _LONGEST_WAIT_S = 5, 60.0
_MAX_REFUSED = 10
"""Questions refused one after the other: then it is no matter of the questions."""


class EndpointAnswerer:
    """See `Answerer`: several questions are on their way at once.

    Args:
        endpoint: it is connected to.
        requests: how many may be on their way.
        pause: seconds before a request that failed is sent again; twice as long before each further try.

    Raises:
        ConfigError: the endpoint is out of reach, or it is not clear which model to ask.
    """

    def __init__(self, endpoint: ChatEndpoint, requests: int = 4, pause: float = 1.0) -> None:
        if requests < 1:
            raise ConfigError(f"requests is {requests}; it must be at least 1.")
        entries = endpoint.connect()
        self.endpoint = endpoint
        self.requests = requests
        self.is_oryx = any(entry.get("owned_by") == _OWNER for entry in entries)
        """Whether it is `oryx serve`, which knows the dials."""
        self._pause = pause
        self._num_refused = 0
        self._greedy: dict[str, Any] = {"temperature": 0}

    @property
    def facts(self) -> dict[str, Any]:
        """See `endpoint_facts`."""
        return endpoint_facts(str(self.endpoint.model), self.endpoint.base_url)

    def answer(
        self, samples: Sequence[Sample], max_new_tokens: int, dials: Mapping[str, Any]
    ) -> Iterator[tuple[int, Answer]]:
        """See `Answerer`. A question that the server refuses has no text but a `problem`.

        Raises:
            EndpointError: the server stayed out of reach, or refused many questions one after the other.
            ConfigError: it will never answer: a wrong key, address or model.
        """
        workers: Workers[int, Answer] = Workers(
            lambda number: self._ask(samples[number], max_new_tokens, dials), self.requests
        )
        try:
            for number in range(len(samples)):
                workers.give(number)
            while workers.num_pending:
                if (done := workers.take()) is not None:
                    yield done
                    self._heed(done[1])
        finally:
            workers.close()

    def _ask(self, sample: Sample, max_new_tokens: int, dials: Mapping[str, Any]) -> Answer:
        content, extra = message_of(sample, dials, self.is_oryx)
        began = time.perf_counter()
        turn = 0
        while True:
            greedy = self._greedy  # which another thread may change meanwhile
            try:
                reply = self.endpoint.chat(content, max_new_tokens, {**greedy, **extra})
                return Answer(reply.text.strip(), _visual_tokens(reply), time.perf_counter() - began)
            except EndpointError as error:
                if "temperature" in str(error) and greedy:  # some models of OpenAI have no such dial
                    self._greedy = {}
                    continue
                if not error.is_outage:
                    return Answer("", None, time.perf_counter() - began, str(error))
                if turn == _RETRIES:
                    raise
                wait = self._pause * 2**turn if error.wait is None else error.wait
            time.sleep(min(wait, _LONGEST_WAIT_S))
            turn += 1

    def _heed(self, answer: Answer) -> None:
        self._num_refused = 0 if answer.problem is None else self._num_refused + 1
        if self._num_refused >= _MAX_REFUSED:
            raise EndpointError(
                f"{answer.problem}; {_MAX_REFUSED} questions were refused one after the other.", False
            )


def message_of(
    sample: Sample, dials: Mapping[str, Any], is_oryx: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(parts of a user's message, further keys of the request) of a sample's visuals and first question."""
    parts: list[dict[str, Any]] = []
    settings = dict(dials)
    for visual in sample.visuals:
        own = {key: visual[key] for key in ("compression",) if is_oryx and key in visual}
        if visual["type"] == "image":
            detail = {"detail": visual["detail"]} if "detail" in visual else {}
            parts.append({**_picture(visual["image"]), **own, **(detail if is_oryx else {})})
        elif visual["type"] == "views":
            settings.update(own, views=True)
            parts += map(_picture, visual["views"])
        elif is_oryx:
            settings["max_frames"] = len(visual["video"])
            parts.append({**media_part("video", "video/x-matroska", lossless_video(visual["video"])), **own})
        else:
            parts += map(_picture, visual["video"])
    question, _ = question_of(sample)
    content = [*parts, {"type": "text", "text": question}]
    return content, {"mm_processor_kwargs": settings} if is_oryx and settings else {}


def lossless_video(frames: Iterable[Image.Image]) -> bytes:
    """RGB frames of one size as a Matroska file (FFV1) that keeps every bit of them."""
    file = io.BytesIO()
    stream: Any = None
    with av.open(file, "w", format="matroska") as container:
        for frame in frames:
            if stream is None:
                stream = container.add_stream("ffv1", rate=1)
                stream.width, stream.height = frame.size
                stream.pix_fmt = "bgr0"
                stream.codec_context.thread_count = 1
            container.mux(stream.encode(av.VideoFrame.from_image(frame).reformat(format="bgr0")))
        if stream is not None:
            container.mux(stream.encode(None))
    return file.getvalue()


def refuse_dials(answerer: EndpointAnswerer, given: Mapping[str, Any]) -> None:
    """Refuse dials that were turned where the endpoint does not know them.

    Args:
        given: option -> its value; None or an empty list if it was not given.

    Raises:
        ConfigError: names them.
    """
    turned = [option for option, value in given.items() if value not in (None, [], False)]
    if turned and not answerer.is_oryx:
        named = " and ".join(turned)
        raise ConfigError(f"{answerer.endpoint.name} is no oryx serve, and only that has a dial for {named}.")


def _picture(source: ImageSource) -> dict[str, Any]:
    """A picture as PNG; an upright JPEG file goes as it is, for it is a tenth of that and no other pixels."""
    if isinstance(source, str | Path):
        with open_header(source) as image:
            is_upright = image.getexif().get(ORIENTATION_TAG, 1) == 1
            if image.format == "JPEG" and image.mode == "RGB" and is_upright:
                return media_part("image", "image/jpeg", Path(source).read_bytes())
    file = io.BytesIO()
    open_image(source).save(file, "PNG")
    return media_part("image", "image/png", file.getvalue())


def _visual_tokens(reply: ChatReply) -> int | None:
    details = reply.usage.get("prompt_tokens_details")
    number = details.get("visual_tokens") if isinstance(details, dict) else None
    return number if isinstance(number, int) else None
