"""The plan that the page shows is what the model will read."""

from __future__ import annotations

import pytest
from PIL import Image

from oryx.errors import AlignmentError, ConfigError, MediaError
from oryx.web.planning import Limits, Media, PagePlanner, turns_of, without_folders
from oryx.web.settings import Settings


def prompt_tokens(nano, plan, question):
    """What `generate` would be given."""
    _, processor = nano
    content = [*plan.visuals, {"type": "text", "text": "\n" + question}]
    messages = [{"role": "user", "content": content}]
    ids = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
    return len(ids[0])


@pytest.mark.parametrize("medium", ["scene", "video", "room"])
@pytest.mark.parametrize("settings", [Settings(), Settings(compression=8), Settings(tokens=60)])
def test_prompt_tokens_are_those_of_generate(nano, plans, request, medium, settings):
    plan = plans.plan(request.getfixturevalue(medium), settings, "What comes first?")
    assert plan.forecast.prompt_tokens == prompt_tokens(nano, plan, "What comes first?")


def test_dials_move_the_plan(plans, video):
    usual = plans.plan(video, Settings()).forecast
    fewer = plans.plan(video, Settings(max_frames=3)).forecast
    coarser = plans.plan(video, Settings(compression=16)).forecast
    smaller = plans.plan(video, Settings(max_pixels=32 * 32)).forecast
    assert len(fewer.visuals[0].views) == 3
    for less in (fewer, coarser, smaller):
        assert less.num_visual_tokens < usual.num_visual_tokens


def test_a_budget_is_kept_and_one_that_cannot_be_says_the_least(plans, video):
    assert plans.plan(video, Settings(tokens=100)).forecast.num_visual_tokens <= 100
    with pytest.raises(ConfigError, match="a budget of 2 visual tokens cannot be met: the least possible"):
        plans.plan(video, Settings(tokens=2))


def test_earlier_turns_count(plans, scene):
    first = plans.plan(scene, Settings(), "Where is the red circle?").forecast.prompt_tokens
    second = plans.plan(
        scene, Settings(), "Where is the red circle?", [("Where is the red circle?", "top right")]
    ).forecast.prompt_tokens
    assert second > first


def test_pictures_are_views_only_if_said(plans, room):
    assert [visual["type"] for visual in plans.plan(room, Settings()).visuals] == ["views"]
    apart = plans.plan(Media(room.paths), Settings())
    assert [visual["type"] for visual in apart.visuals] == ["image"] * 4


def test_errors_name_files_without_their_folders(plans, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(MediaError) as caught:
        plans.plan(Media((str(broken),)), Settings())
    assert "'broken.png'" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_limits(nano, plans, tmp_path, scene):
    Image.new("RGB", (1200, 1000)).save(tmp_path / "large.png")
    with pytest.raises(MediaError, match=r"large.png is 1,000 x 1,200 pixels .* at most 1,000,000"):
        plans.plan(Media((str(tmp_path / "large.png"),)), Settings())
    few = PagePlanner(plans.planner, plans.processor, Limits(max_files=2))
    with pytest.raises(MediaError, match="3 files are too many; at most 2"):
        few.plan(Media(scene.paths * 3), Settings())


def test_an_answer_longer_than_the_model_reads(plans, video):
    with pytest.raises(ConfigError, match="the model reads at most 8,192"):
        plans.plan(video, Settings(max_new_tokens=8_000))


def test_markers_stand_for_media_in_the_first_question_alone():
    turns = turns_of([("a", "it is an <image>")], "and <image>?", 2)
    assert turns[0]["value"] == "<image>\n<image>\na"
    assert [turn["value"] for turn in turns[1:]] == ["it is an image", "and image?"]
    with pytest.raises(AlignmentError, match="2 media"):
        turns_of([], "one <image> alone", 2)


def test_without_folders():
    assert (
        without_folders("'/tmp/a/b.png' in /tmp/a is bad", ["/tmp/a/b.png"]) == "'b.png' in the upload is bad"
    )
