"""Videos that reach vLLM as files stay files until the processor reads them by the request's dial."""

from __future__ import annotations

from typing import Any

import numpy as np
from vllm.multimodal.video import VIDEO_LOADER_REGISTRY, VideoLoader

from oryx.serving.vllm import VIDEO_READER

BACKEND = "oryx"


class EncodedVideoLoader(VideoLoader):
    """Hands a file's bytes on as a row of uint8, where others hand on frames."""

    @classmethod
    def load_bytes(
        cls, data: bytes, num_frames: int = -1, **kwargs: Any
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The file itself; `num_frames` and what else was set for decoding has no say here."""
        return np.frombuffer(data, dtype=np.uint8), {}


def register_video_reader() -> None:
    """Makes it the reader of Oryx's videos."""
    VIDEO_LOADER_REGISTRY.register(BACKEND, video_processor=VIDEO_READER)(EncodedVideoLoader)
