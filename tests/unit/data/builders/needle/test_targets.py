"""Targets are informative, captions come from different scenes, differences from unlike frames."""

import random

import numpy as np
import pytest
from PIL import Image

from oryx.data.builders.needle.scene_cuts import thumbnail
from oryx.data.builders.needle.targets import MIN_DIFFERENCE, choose_targets, look_at

from .conftest import draw_frame

BLACK = Image.new("RGB", (64, 48))


def looks_of(pictures):
    return [look_at(picture, thumbnail(picture)) for picture in pictures]


def scenes(*lengths):
    return [draw_frame(scene, number) for scene, length in enumerate(lengths) for number in range(length)]


def difference(looks, first, second):
    values = [looks[place].thumbnail.astype(float) for place in (first, second)]
    return np.abs(values[0] - values[1]).mean() / 255


@pytest.mark.parametrize("seed", range(5))
def test_every_caption_is_of_another_scene(seed):
    looks = looks_of(scenes(6, 6, 6, 6))
    chosen = choose_targets(looks, ["caption"] * 4, random.Random(seed))
    assert sorted(place // 6 for (place,) in chosen) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_frames_beside_a_cut_and_empty_ones_are_left_out(seed):
    pictures = [*[BLACK] * 5, *scenes(8, 8), *[BLACK] * 5]
    chosen = choose_targets(looks_of(pictures), ["caption", "caption"], random.Random(seed))
    assert all(6 <= place <= 11 or 14 <= place <= 19 for (place,) in chosen)


@pytest.mark.parametrize("seed", range(5))
def test_a_difference_is_between_unlike_frames_in_order(seed):
    looks = looks_of(scenes(6, 6, 6, 6))
    ((first, second),) = choose_targets(looks, ["diff"], random.Random(seed))
    assert first < second
    assert first // 6 != second // 6
    assert difference(looks, first, second) >= MIN_DIFFERENCE


def test_pairs_are_the_more_unlike_half():
    looks = looks_of(scenes(6, 6, 6, 6))
    pairs = {tuple(choose_targets(looks, ["diff"], random.Random(seed))[0]) for seed in range(60)}
    assert len(pairs) == 3  # of the six pairs of four scenes
    best = {place for pair in pairs for place in pair}
    least = min(difference(looks, *pair) for pair in pairs)
    others = {(a, b) for a in best for b in best if a < b} - pairs
    assert all(difference(looks, *pair) <= least for pair in others)


def test_one_scene_gives_captions_and_differences_while_something_moves():
    rng = np.random.default_rng(0)
    ground = Image.fromarray(rng.integers(0, 256, (12, 90, 3), dtype=np.uint8)).resize((900, 120))
    looks = looks_of([ground.crop((step, 0, step + 160, 120)) for step in range(0, 700, 20)])
    captions, (first, second) = choose_targets(looks, ["caption", "diff"], random.Random(0))
    assert len(captions) == 1
    assert difference(looks, first, second) >= MIN_DIFFERENCE


def test_nothing_is_made_of_nothing():
    assert choose_targets(looks_of([BLACK] * 9), ["caption"], random.Random(0)) is None
    assert choose_targets(looks_of([BLACK] * 9), ["diff"], random.Random(0)) is None
    still = looks_of([draw_frame(0, 0)] * 9)
    assert choose_targets(still, ["caption"], random.Random(0)) is not None
    assert choose_targets(still, ["caption", "diff"], random.Random(0)) is None


def test_what_is_informative():
    flat, door, noise_free_fade = BLACK, draw_frame(0, 0), Image.new("RGB", (64, 48), (90, 90, 90))
    assert not look_at(flat, thumbnail(flat)).is_informative
    assert not look_at(noise_free_fade, thumbnail(noise_free_fade)).is_informative
    assert look_at(door, thumbnail(door)).is_informative


def test_differences_of_a_clip_take_its_pairs_in_turn():
    looks = looks_of(scenes(6, 6, 6))
    for seed in range(5):
        tasks = ["caption", "diff", "caption", "diff"]
        _, first, _, second = choose_targets(looks, tasks, random.Random(seed))
        assert first != second  # two of the three pairs of three scenes are asked about
