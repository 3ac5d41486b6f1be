"""Identity from SAM 2 (arXiv 2408.00714): masks are proposed in a few views and tracked through all.

Works with any checkpoint of `Sam2VideoModel` in `transformers`, such as facebook/sam2.1-hiera-small. The
model is called directly: its processors need torchvision, for no more than one resize and one normalisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oryx.data.builders.correspondence.scenes import Scene
from oryx.data.builders.correspondence.sights import Sightings, measure_mask
from oryx.errors import ConfigError
from oryx.media.image import image_size, open_image


@dataclass(frozen=True)
class Sam2Settings:
    """How masks are proposed and tracked. The two thresholds are those of SAM's mask generator."""

    keyframes: int = 3
    """Views in which masks are proposed, evenly spread; what is found in several is one object."""
    points: int = 16
    """Points along each side of the grid that proposes masks."""
    least_iou: float = 0.88
    """Quality that the model itself must expect of a mask."""
    least_stability: float = 0.95
    """Overlap of the masks at a threshold 1 above and 1 below: how sure their outlines are."""
    least_share: float = 0.002
    """Smallest and largest share of the picture that a proposed mask may cover."""
    largest_share: float = 0.5
    overlap: float = 0.5
    """Masks that overlap (intersection over union) more than this are one object."""
    max_objects: int = 32
    """Proposals tracked from each keyframe, the best first."""


class Sam2Source:
    """A SAM 2 tracker. The model is loaded once and used for all scenes."""

    def __init__(
        self, model: str | Path, device: str = "cpu", settings: Sam2Settings = Sam2Settings()
    ) -> None:
        """Load the weights.

        Args:
            model: a folder or a hub id.
            device: "cpu", "cuda", ...
            settings: how.

        Raises:
            ConfigError: there are no weights of a SAM 2 video model.
        """
        self.settings, self.device = settings, device
        self.tracker, self.proposer = _load(str(model), device)
        self.side = int(self.tracker.image_size)

    def identify(self, scene: Scene, views: Sequence[int]) -> Sightings:
        """As `Source.identify`; ids are 0, 1, ... in the order in which objects were found."""
        sizes = [image_size(scene.views[view]) for view in views]
        video = self._pixels(open_image(scene.views[view]) for view in views)
        count = min(self.settings.keyframes, len(views))
        keyframes = sorted({round(place) for place in np.linspace(0, len(views) - 1, count)})
        objects: list[np.ndarray] = []
        for keyframe in keyframes:
            proposals = self.propose(video[keyframe])
            if len(proposals):
                merge(objects, self.track(video, keyframe, proposals), self.settings.overlap)
        return sightings(objects, sizes)

    def propose(self, frame: Any) -> np.ndarray:
        """(N, h, w) bool: masks of one frame (3, side, side), by a grid of points, the best first."""
        import torch

        steps = (np.arange(self.settings.points) + 0.5) / self.settings.points * self.side
        points = torch.tensor([(x, y) for y in steps for x in steps], dtype=torch.float32)
        logits, scores = [], []
        with torch.inference_mode():
            embeddings = self.proposer.get_image_embeddings(frame[None].to(self.device))
            for some in points.split(64):
                out = self.proposer(
                    image_embeddings=embeddings,
                    input_points=some[None, :, None].to(self.device),
                    input_labels=torch.ones(1, len(some), 1, dtype=torch.int32, device=self.device),
                )
                logits.append(out.pred_masks[0].flatten(0, 1).float().cpu().numpy())
                scores.append(out.iou_scores[0].flatten().float().cpu().numpy())
        return best_masks(np.concatenate(logits), np.concatenate(scores), self.settings)

    def track(self, video: Any, keyframe: int, masks: np.ndarray) -> np.ndarray:
        """(N, F, h, w) bool: masks (N, h, w) of one frame in all frames (F, 3, side, side) of a video."""
        import torch
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        session = Sam2VideoInferenceSession(
            video=video,
            video_height=self.side,
            video_width=self.side,
            inference_device=self.device,
            inference_state_device=self.device,
            dtype=torch.float32,
        )
        for number, mask in enumerate(masks):
            index = session.obj_id_to_idx(number)
            session.add_mask_inputs(index, keyframe, torch.from_numpy(self._upright(mask))[None, None])
        session.obj_with_new_inputs = list(range(len(masks)))
        found = np.zeros((len(masks), len(video), *masks.shape[1:]), dtype=bool)
        with torch.inference_mode():
            self.tracker(session, frame_idx=keyframe)  # takes the prompts in
            for reverse in (False, True):
                for out in self.tracker.propagate_in_video_iterator(session, keyframe, reverse=reverse):
                    # An object that is out of sight has a negative score, and masks far below 0.
                    seen = (out.pred_masks[:, 0] > 0) & (out.object_score_logits.reshape(-1, 1, 1) > 0)
                    found[:, out.frame_idx] = seen.cpu().numpy()
        found[:, keyframe] = masks
        return found

    def _pixels(self, pictures: Iterable[Image.Image]) -> Any:
        """(F, 3, side, side) float32, squeezed to a square and normalised as SAM 2 was trained."""
        import torch
        from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

        square = (self.side, self.side)
        small = [np.asarray(picture.resize(square, Image.Resampling.BILINEAR)) for picture in pictures]
        values = np.stack(small).astype(np.float32) / 255
        values = (values - IMAGENET_DEFAULT_MEAN) / IMAGENET_DEFAULT_STD
        return torch.from_numpy(values.transpose(0, 3, 1, 2).astype(np.float32).copy())

    def _upright(self, mask: np.ndarray) -> np.ndarray:
        """A mask at the side of the frames, float32 of 0 and 1."""
        image = Image.fromarray(mask.astype(np.uint8) * 255)
        larger = image.resize((self.side, self.side), Image.Resampling.BILINEAR)
        return (np.asarray(larger) >= 128).astype(np.float32)


def best_masks(logits: np.ndarray, scores: np.ndarray, settings: Sam2Settings) -> np.ndarray:
    """(M, h, w) bool of the proposals (N, h, w) that are sure, of a sensible size and not twice the same."""
    masks = logits > 0
    shares = masks.mean((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        stability = (logits > 1).sum((1, 2)) / (logits > -1).sum((1, 2))
    good = (scores >= settings.least_iou) & (stability >= settings.least_stability)
    good &= (shares >= settings.least_share) & (shares <= settings.largest_share)
    kept: list[int] = []
    for number in np.flatnonzero(good)[np.argsort(-scores[good], kind="stable")]:
        if len(kept) == settings.max_objects:
            break
        if all(_overlap(masks[number], masks[other]) <= settings.overlap for other in kept):
            kept.append(int(number))
    return masks[kept]


def merge(objects: list[np.ndarray], found: np.ndarray, overlap: float) -> None:
    """Add tracked masks (N, F, h, w) to the objects, each (F, h, w).

    What overlaps with a known object, in the views in which both are seen, is that object: it fills in the
    views in which the known one was lost.
    """
    for masks in found:
        if not masks.any():
            continue
        overlaps = [_shared_overlap(masks, known) for known in objects]
        best = int(np.argmax(overlaps)) if objects else -1
        if best >= 0 and overlaps[best] > overlap:
            lost = ~objects[best].any((1, 2))
            objects[best][lost] = masks[lost]
        else:
            objects.append(masks)


def sightings(objects: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]) -> Sightings:
    """Where objects, each (F, h, w) bool, are in pictures of these (height, width)."""
    result = Sightings()
    for name, masks in enumerate(objects):
        for place, (mask, (height, width)) in enumerate(zip(masks, sizes)):
            sight = measure_mask(mask)
            if sight is not None:
                down, across = height / mask.shape[0], width / mask.shape[1]
                result.sights.setdefault(name, {})[place] = sight.scaled(down, across)
    return result


def _shared_overlap(first: np.ndarray, second: np.ndarray) -> float:
    both = first.any((1, 2)) & second.any((1, 2))
    return _overlap(first[both], second[both])


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    union = np.logical_or(first, second).sum()
    return float(np.logical_and(first, second).sum() / union) if union else 0.0


def _load(model: str, device: str) -> list[Any]:
    try:
        import torch
        from transformers import AutoConfig, Sam2Model, Sam2VideoModel
    except ImportError as error:
        raise ConfigError(f"SAM 2 needs a transformers with Sam2VideoModel ({error}).") from None
    try:
        kind = AutoConfig.from_pretrained(model).model_type
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"no SAM 2 weights at '{model}': a folder or a hub id such as facebook/sam2.1-hiera-small is "
            f"needed ({reason})"
        ) from None
    if kind != "sam2_video":
        raise ConfigError(f"'{model}' holds a model of type {kind!r}; sam2_video is needed.")
    try:
        torch.device(device)
        # One checkpoint is both: the tracker, and without its memory the model that proposes masks.
        classes: tuple[Any, ...] = (Sam2VideoModel, Sam2Model)
        models = []
        for cls in classes:
            loaded, info = cls.from_pretrained(model, output_loading_info=True)
            if info["missing_keys"]:
                raise ValueError(f"{len(info['missing_keys'])} of its tensors are missing")
            models.append(loaded.to(device).eval())
        return models
    except (OSError, ValueError, RuntimeError, AssertionError) as error:
        raise ConfigError(f"the SAM 2 weights of '{model}' cannot be loaded ({error}).") from None
