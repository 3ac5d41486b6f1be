"""Whatever vLLM's callers hand in as a picture or a video, as visuals of the processor."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from vllm.multimodal.media import MediaWithBytes
from vllm.multimodal.parse import ModalityDataItems, MultiModalDataParser, ProcessorBatchItems

from oryx.engine.content import ContentHasher
from oryx.processing.visuals import EncodedVisual, visual_dials

MODALITIES = ("image", "video")
_hasher = ContentHasher()

Visual = Mapping[str, Any] | EncodedVisual


class VisualItems(ProcessorBatchItems[Any]):
    """Visual dicts, or visuals that are encoded already. None where a client named one that is cached."""

    def get_item_for_hash(self, index: int) -> Any:
        """What the item shows and the dials of its own, in kinds that vLLM's hasher knows."""
        visual = self.data[index]
        if visual is None:
            return None
        if isinstance(visual, EncodedVisual):
            views = [(*view.grid, view.compression) for view in visual.views]
            return {"kind": visual.kind, "views": views, "patches": visual.patches, "note": visual.note}
        # A source without stable content is like no other.
        shown = _hasher.of_visual(visual) or uuid.uuid4().bytes
        return {"shown": shown, "dials": repr(sorted(visual_dials(visual).items()))}


class VisualParser(MultiModalDataParser):
    """Takes files and visuals of the processor where others take decoded media."""

    def _parse_image_data(self, data: Any) -> ModalityDataItems[Any, Any] | None:
        return self._parse("image", data)

    def _parse_video_data(self, data: Any) -> ModalityDataItems[Any, Any] | None:
        return self._parse("video", data)

    def _parse(self, modality: str, data: Any) -> VisualItems | None:
        if data is None:
            return None
        if not _is_many(modality, data):
            data = [data]
        return VisualItems([_as_visual(modality, item) for item in data], modality)


def _is_many(modality: str, data: Any) -> bool:
    """Whether `data` holds several items. A list of pictures is the frames of one video."""
    if not isinstance(data, list):
        return False
    pictures = Image.Image | np.ndarray | torch.Tensor
    is_frames = bool(data) and all(isinstance(item, pictures) and _rank(item) == 3 for item in data)
    return modality == "image" or not is_frames


def _rank(item: Any) -> int:
    return 3 if isinstance(item, Image.Image) else item.ndim


def _as_visual(modality: str, item: Any) -> Visual | None:
    if item is None or isinstance(item, Mapping | EncodedVisual):
        return item
    if isinstance(item, MediaWithBytes):
        if modality == "image":
            # The file itself, so that orientation and transparency mean what they mean everywhere else.
            return {"type": "image", "image": item.original_bytes}
        item = item.media
    if isinstance(item, tuple):  # frames and what is known of them
        item = item[0]
    if isinstance(item, torch.Tensor):
        item = item.cpu().numpy()
    if modality == "image":
        return {"type": "image", "image": Image.fromarray(item) if isinstance(item, np.ndarray) else item}
    if isinstance(item, np.ndarray) and item.ndim == 1:  # see `EncodedVideoLoader`
        return {"type": "video", "video": item.tobytes()}
    if isinstance(item, Sequence) and not isinstance(item, str | bytes):
        item = [Image.fromarray(np.asarray(frame)) for frame in item]
    elif not isinstance(item, np.ndarray | str | bytes | Path):
        raise ValueError(f"a video cannot be of type {type(item).__name__}.")
    return {"type": "video", "video": item}
