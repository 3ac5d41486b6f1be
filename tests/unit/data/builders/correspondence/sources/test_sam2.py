"""The SAM 2 adapter: on a real `Sam2VideoModel` of random weights, and its decisions on made masks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from oryx.data.builders.correspondence.scenes import open_scene
from oryx.data.builders.correspondence.sources.sam2 import (
    Sam2Settings,
    Sam2Source,
    best_masks,
    merge,
    sightings,
)
from oryx.errors import ConfigError

SIDE = 64
GRID = (16, 16)
"""Of masks: a quarter of the side."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a million random parameters."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 128,
    }
    config = Sam2VideoConfig(
        image_size=SIDE,
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 32, "iou_head_hidden_dim": 32},
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=128,
        mask_downsampler_embed_dim=128,
        memory_fuser_num_layers=1,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sam2") / "tiny"
    Sam2VideoModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def source(weights: Path) -> Sam2Source:
    loose = Sam2Settings(keyframes=2, points=3, least_iou=-9, least_stability=0, largest_share=1)
    return Sam2Source(weights, settings=loose)


def test_masks_are_tracked_both_ways_from_their_frame(source: Sam2Source) -> None:
    masks = np.zeros((2, *GRID), dtype=bool)
    masks[0, 2:7, 3:9] = masks[1, 9:14, 4:12] = True
    tracked = source.track(torch.randn(4, 3, SIDE, SIDE), 2, masks)
    assert tracked.shape == (2, 4, *GRID)
    assert np.array_equal(tracked[:, 2], masks)


def test_a_mask_is_given_to_the_model_as_it_is(source: Sam2Source) -> None:
    """The model's own output on the prompted frame is the prompt: nothing is turned or shifted on the way."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    mask = np.zeros(GRID, dtype=bool)
    mask[2:6, 8:15] = True
    session = Sam2VideoInferenceSession(torch.randn(1, 3, SIDE, SIDE), SIDE, SIDE, dtype=torch.float32)
    session.add_mask_inputs(session.obj_id_to_idx(0), 0, torch.from_numpy(source._upright(mask))[None, None])
    session.obj_with_new_inputs = [0]
    with torch.inference_mode():
        out = source.tracker(session, frame_idx=0)
    assert np.array_equal((out.pred_masks[0, 0] > 0).numpy(), mask)


def test_proposals_have_the_tracks_size(source: Sam2Source) -> None:
    masks = source.propose(torch.randn(3, SIDE, SIDE))
    assert masks.dtype == bool
    assert masks.shape[1:] == GRID
    assert len(masks) <= 3 * 3 * 3


def test_a_scene_is_gone_through(source: Sam2Source, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros((1, *GRID), dtype=bool)
    mask[0, 4:8, 8:12] = True
    monkeypatch.setattr(source, "propose", lambda frame: mask)
    monkeypatch.setattr(
        source, "track", lambda video, keyframe, masks: np.repeat(masks[:, None], len(video), 1)
    )
    found = source.identify(open_scene(plain), [0, 1, 3])
    assert found.sights.keys() == {0}  # found from both keyframes, and once
    sight = found.sights[0][2]
    assert (sight.y, sight.x, sight.area) == (45.0, 100.0, 16 * 7.5 * 10)  # of 120 x 160 pixels


def test_pixels_are_squeezed_and_normalised(source: Sam2Source) -> None:
    pixels = source._pixels([Image.new("RGB", (30, 20), (255, 0, 124))])
    assert pixels.shape == (1, 3, SIDE, SIDE)
    red, green, blue = pixels[0, :, 5, 5].tolist()
    assert red == pytest.approx((1 - 0.485) / 0.229, abs=1e-4)
    assert green == pytest.approx(-0.456 / 0.224, abs=1e-4)
    assert blue == pytest.approx((124 / 255 - 0.406) / 0.225, abs=1e-4)


def _block(*corners: tuple[int, int, int, int]) -> np.ndarray:
    masks = np.zeros((len(corners), *GRID), dtype=bool)
    for mask, (top, bottom, left, right) in zip(masks, corners):
        mask[top:bottom, left:right] = True
    return masks


def test_of_proposals_the_sure_sensible_and_unlike_are_kept() -> None:
    masks = _block(
        (0, 8, 0, 8), (0, 8, 0, 7), (9, 12, 9, 12), (9, 12, 1, 4), (0, 16, 0, 16), (12, 14, 12, 14)
    )
    logits = np.where(masks, 5.0, -5.0)
    logits[3, 9:12, 1:4] = 0.5  # an outline that a small change of the threshold moves
    scores = np.array([0.90, 0.95, 0.99, 0.99, 0.99, 0.5])
    kept = best_masks(logits, scores, Sam2Settings())
    assert np.array_equal(kept, masks[[2, 1]])
    assert len(best_masks(logits, scores, Sam2Settings(max_objects=1))) == 1
    assert best_masks(logits, scores * 0, Sam2Settings()).shape == (0, *GRID)


def test_what_overlaps_where_both_are_seen_is_one_object() -> None:
    known = _block((0, 4, 0, 4), (0, 4, 4, 8), (0, 0, 0, 0))
    objects = [known.copy()]
    same = _block((0, 4, 0, 4), (0, 4, 5, 8), (8, 12, 8, 12))
    other = _block((8, 12, 0, 4), (8, 12, 4, 8), (8, 12, 8, 12))
    nothing = _block((0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))
    merge(objects, np.stack((same, other, nothing)), 0.5)
    assert len(objects) == 2
    assert np.array_equal(objects[0], np.stack((known[0], known[1], same[2])))
    assert np.array_equal(objects[1], other)


def test_where_masks_are_in_their_pictures() -> None:
    found = sightings([_block((0, 8, 0, 8), (0, 0, 0, 0))], [(64, 32)] * 2)
    assert found.sights[0].keys() == {0}
    sight = found.sights[0][0]
    assert (sight.y, sight.x, sight.area) == (16.0, 8.0, 512.0)


def test_weights_that_are_none(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(ConfigError, match="no SAM 2 weights"):
        Sam2Source(tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    with pytest.raises(ConfigError, match="type 'qwen2'; sam2_video is needed"):
        Sam2Source(tmp_path)
    (tmp_path / "config.json").write_text((weights / "config.json").read_text())
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Sam2Source(tmp_path)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Sam2Source(weights, device="nowhere")
