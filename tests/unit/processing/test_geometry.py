"""Sizes and counts: the published arithmetic where a careless one differs, and what is ours to define."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx.errors import ConfigError
from oryx.processing.geometry import (
    IMAGE,
    REGIONS,
    VIDEO,
    ResizeRule,
    View,
    frame_view,
    icon_size,
    image_views,
    native_size,
    num_visual_tokens,
    token_offset,
)

RULE = ResizeRule()
sides = st.integers(1, 6000)


def published_sides(height: int, width: int, target_area: int | None, multiple: int) -> tuple[int, int]:
    """The published rule a second time: scale by the root of the area ratio, truncate per multiple."""
    scale = 1.0 if target_area is None else math.sqrt(target_area / (height * width))
    return int(height * scale / multiple) * multiple, int(width * scale / multiple) * multiple


@given(st.integers(32, 4000), st.integers(32, 4000))
@settings(max_examples=200, deadline=None)
def test_image_views_follow_the_published_rule(height: int, width: int) -> None:
    cap = 1536**2 if height * width > 1536**2 else None
    native = published_sides(height, width, cap, 32)
    low = published_sides(*native, 384**2, 32) if min(native) else (0, 0)
    if min(*native, *low) == 0:
        return  # the published rule fails there
    views = image_views(height, width, RULE)
    assert [(view.height, view.width) for view in views] == [low, native]


@given(st.integers(16, 3000), st.integers(16, 3000), st.sampled_from([(4, 64), (16, 128)]))
@settings(max_examples=200, deadline=None)
def test_frames_follow_the_published_rule(height: int, width: int, ratio: tuple[int, int]) -> None:
    compression, multiple = ratio
    area = height * width
    target = 480**2 if area > 480**2 else 288**2 if area < 288**2 else None
    expected = published_sides(height, width, target, multiple)
    if 0 in expected:
        return
    view = frame_view(height, width, RULE, compression)
    assert (view.height, view.width) == expected


@given(sides, sides, st.sampled_from(list(REGIONS)), st.none() | st.integers(1, 10**7))
@settings(max_examples=300, deadline=None)
def test_every_view_can_be_cut_and_compressed(
    height: int, width: int, ratio: int, max_pixels: int | None
) -> None:
    views = image_views(height, width, RULE, ratio, max_pixels=max_pixels)
    views.append(frame_view(height, width, RULE, ratio, max_pixels))
    for view in views:
        assert view.grid == (view.height // 16, view.width // 16)
        assert view.height == view.grid[0] * 16
        assert view.width == view.grid[1] * 16
        rows, columns = REGIONS[ratio]
        assert view.grid[0] % rows == 0
        assert view.grid[1] % columns == 0
        assert min(view.token_grid) >= 1


@given(sides, sides)
@settings(max_examples=200, deadline=None)
def test_no_view_exceeds_its_area(height: int, width: int) -> None:
    low, native = image_views(height, width, RULE)
    frame = frame_view(height, width, RULE)
    assert low.height * low.width <= 384**2
    assert native.height * native.width <= 1536**2
    assert frame.height * frame.width <= 480**2


@pytest.mark.parametrize(
    ("size", "icon"),
    [
        ((12, 20), (64, 106)),  # both sides are short: the shorter one counts
        ((31, 31), (64, 64)),
        ((31, 400), (64, 825)),  # 64 / 31 * 400 = 825.8, truncated
        ((32, 32), None),
        ((1, 5000), None),  # 64 x 320000 would be shrunk to a side of 21 again
    ],
)
def test_icons(size: tuple[int, int], icon: tuple[int, int] | None) -> None:
    assert icon_size(*size, RULE) == icon


def test_a_strip_keeps_its_length() -> None:
    low, native = image_views(1, 5000, RULE)
    assert (native.height, native.width) == (32, 4992)
    assert (low.height, low.width) == (32, 4608)
    assert image_views(30000, 1, RULE)[1].grid == (29984 // 16, 2)


def test_large_ratios_raise_the_multiple() -> None:
    assert native_size(100, 200, RULE, compression=4) == (96, 192)
    assert native_size(100, 200, RULE, compression=16) == (64, 192)
    assert frame_view(300, 300, RULE, 16).grid == (16, 16)


def test_max_pixels_caps_every_view() -> None:
    for view in (*image_views(900, 900, RULE, max_pixels=100**2), frame_view(900, 900, RULE, 4, 100**2)):
        assert view.height * view.width <= 100**2


def test_detail_low_is_the_first_of_both_views() -> None:
    assert image_views(700, 500, RULE, detail="low") == image_views(700, 500, RULE)[:1]


def test_token_counts() -> None:
    view = View(64, 96, (4, 6), 4)
    assert view.token_grid == (2, 3)
    assert view.num_tokens == 2 * (3 + 1)
    assert view.num_patches == 24
    # begin, 8, separator, 8, end; and with one more separator behind the last frame of a video
    assert num_visual_tokens(IMAGE, [view, view]) == 19
    assert num_visual_tokens(IMAGE, [view]) == 10
    assert num_visual_tokens(VIDEO, [view, view]) == 20


def test_token_offset_counts_views_rows_and_newlines() -> None:
    views = [View(64, 96, (4, 6), 4), View(64, 96, (4, 6), 4)]
    assert token_offset(VIDEO, views, 0, 0.0, 0.0) == 1
    assert token_offset(VIDEO, views, 0, 0.0, 0.5) == 2
    assert token_offset(VIDEO, views, 1, 0.9, 0.9) == 1 + (8 + 1) + 4 + 2
    assert token_offset(VIDEO, views, 1, 1.0, 1.0) == 1 + (8 + 1) + 4 + 2  # the far edge is inside
    assert token_offset(IMAGE, views, 0, 0.0, 0.0) == 10  # the native view is the last


@pytest.mark.parametrize(("kind", "view"), [(IMAGE, 1), (VIDEO, 2), (VIDEO, -1)])
def test_there_is_no_such_view(kind: int, view: int) -> None:
    with pytest.raises(ConfigError, match="no view"):
        token_offset(kind, [View(64, 96, (4, 6), 4)] * 2, view, 0.5, 0.5)


@pytest.mark.parametrize("ratio", [0, 3, 32, "4", True, None, 2.5, [4]])
def test_unsupported_ratios_name_the_ratios_there_are(ratio: object) -> None:
    with pytest.raises(ConfigError, match="1, 2, 4, 8, 16"):
        frame_view(100, 100, RULE, ratio)  # type: ignore[arg-type]


def test_other_bad_dials() -> None:
    with pytest.raises(ConfigError, match="detail"):
        image_views(10, 10, RULE, detail="auto")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="max_pixels"):
        image_views(10, 10, RULE, max_pixels=0)
    with pytest.raises(ConfigError, match="at least 1 x 1"):
        frame_view(0, 10, RULE)


def test_rule_round_trip_and_refusals() -> None:
    rule = ResizeRule(native_area=1000**2)
    assert ResizeRule.from_dict(rule.to_dict()) == rule
    with pytest.raises(ConfigError, match="did you mean 'native_area'"):
        ResizeRule.from_dict({"nativ_area": 5})
    with pytest.raises(ConfigError, match="whole number"):
        ResizeRule(low_area=0)
    with pytest.raises(ConfigError, match="multiple of patch_size"):
        ResizeRule(patch_size=14)
    with pytest.raises(ConfigError, match="must not exceed"):
        ResizeRule(video_min_area=500**2)
    with pytest.raises(ConfigError, match="icon_target"):
        ResizeRule(icon_target=16)
