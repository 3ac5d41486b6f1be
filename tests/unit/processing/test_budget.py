"""The planner: what is asked is kept, what is set stays, what is forecast is what the model gets."""

import numpy as np
import pytest
from factories import RULE, make_processor
from PIL import Image

from oryx.errors import ConfigError
from oryx.media.focus import parse_focus
from oryx.processing.budget import Budget, Planner
from oryx.processing.costs import ModelSizes
from oryx.processing.forecast import forecast_visual
from oryx.processing.geometry import REGIONS, ResizeRule
from oryx.processing.visuals import encode_visual, open_visual

VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_channels": 3}
TEXT = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 99,
}
SIZES = ModelSizes.from_settings(VISION, TEXT, compressor_dim=8, dtype="float32")
PUBLISHED = Planner(ResizeRule(), SIZES)
SMALL = Planner(ResizeRule.from_dict(RULE), SIZES)


def noise(rng, height, width):
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def frames(count, height=48, width=64, seed=0):
    rng = np.random.default_rng(seed)
    return [noise(rng, height, width) for _ in range(count)]


def cost(planner, visuals):
    return sum(forecast_visual(visual, planner.rule).num_tokens for visual in visuals)


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        (4096, Budget(tokens=4096)),
        ("4096", Budget(tokens=4096)),
        ("4k", Budget(tokens=4000)),
        ("2GB", Budget(memory=2_000_000_000)),
        ("1.5 GiB", Budget(memory=1_610_612_736)),
        ("500mb", Budget(memory=500_000_000)),
        ("5s", Budget(seconds=5.0)),
        ("250ms", Budget(seconds=0.25)),
        ("2min", Budget(seconds=120.0)),
        ("4096,5s", Budget(tokens=4096, seconds=5.0)),
        (["4096", "2GB"], Budget(tokens=4096, memory=2_000_000_000)),
        ({"tokens": 10, "seconds": 1}, Budget(tokens=10, seconds=1)),
    ],
)
def test_ways_to_write_a_budget(written, budget):
    assert Budget.parse(written) == budget
    assert Budget.parse(budget) is budget


@pytest.mark.parametrize(
    "written",
    [0, -5, "0", "0GB", "-1s", "much", "5 parsecs", "1.5", "", [], "4096,4097", {"watts": 3}, True, 1e400],
)
def test_budgets_that_are_refused(written):
    with pytest.raises(ConfigError, match="budget"):
        Budget.parse(written)


def test_a_video_spends_what_it_is_given(video):
    path = video(num_frames=300, rate=10, height=96, width=128)
    used = []
    for tokens in (60, 200, 900, 4000, 13_000):
        (settled,) = PUBLISHED.spend([{"type": "video", "video": path}], tokens)
        spent = cost(PUBLISHED, [settled])
        assert spent <= tokens
        used.append(spent)
    assert used == sorted(used)
    # From where a frame's worth is small against the budget, nearly all of it is used.
    assert all(spent > 0.8 * tokens for spent, tokens in zip(used[2:], (900, 4000, 13_000)))


def test_a_long_video_gets_frames_before_detail(video):
    path = video(num_frames=900, rate=10, height=48, width=64)  # 90 s
    (settled,) = SMALL.spend([{"type": "video", "video": path}], 300)
    assert settled["compression"] == 16
    assert settled["max_frames"] > 60
    short = video("short.mp4", num_frames=40, rate=10, height=48, width=64)
    (settled,) = SMALL.spend([{"type": "video", "video": short}], 300)
    assert np.max(settled["compression"]) < 16


def test_a_picture_loses_pixels_before_it_is_compressed():
    picture = {"type": "image", "image": noise(np.random.default_rng(0), 600, 800)}
    (settled,) = PUBLISHED.spend([picture], 1500)
    assert settled["compression"] == 1
    assert settled["detail"] == "high"
    assert 1300 < cost(PUBLISHED, [settled]) <= 1500
    (least,) = PUBLISHED.spend([picture], 30)
    assert least["detail"] == "low"
    assert cost(PUBLISHED, [least]) <= 30


def test_visuals_share(video):
    icon = {"type": "image", "image": noise(np.random.default_rng(0), 40, 40)}
    clips = [{"type": "video", "video": video(f"{count}.mp4", count, rate=10)} for count in (200, 300)]
    settled = PUBLISHED.spend([icon, *clips], 2000)
    tokens = [cost(PUBLISHED, [one]) for one in settled]
    assert 1800 < sum(tokens) <= 2000
    assert tokens[1] == pytest.approx(tokens[2], rel=0.25)


@pytest.mark.parametrize(
    "dials",
    [{"compression": 2}, {"max_frames": 5}, {"fps": 2.0}, {"max_pixels": 100_000}, {"compression": [4] * 30}],
)
def test_what_is_set_stays_as_set(video, dials):
    path = video(num_frames=30, rate=10)
    visual = {"type": "video", "video": path, **dials}
    (settled,) = PUBLISHED.spend([visual], 12_000)
    found = forecast_visual(settled, PUBLISHED.rule)
    assert found.num_tokens <= 12_000
    if "compression" in dials:
        assert settled["compression"] == dials["compression"]
    if "max_frames" in dials:
        assert found.num_frames <= 5
    if "fps" in dials:
        assert found.num_frames == 6
    if "max_pixels" in dials:
        assert all(view.height * view.width <= 100_000 for view in found.views)


def test_a_rate_is_never_thinned_out(video):
    path = video(num_frames=300, rate=10)
    visual = {"type": "video", "video": path, "fps": 10.0, "max_frames": 1000}
    with pytest.raises(ConfigError, match="cannot be met: the least possible"):
        PUBLISHED.spend([visual], 500)
    (settled,) = PUBLISHED.spend([visual], 50_000)
    assert forecast_visual(settled, PUBLISHED.rule).num_frames == 300


def test_the_least_possible_is_possible(video):
    visuals = [
        {"type": "video", "video": video()},
        {"type": "image", "image": noise(np.random.default_rng(0), 9, 500)},
    ]
    with pytest.raises(ConfigError, match="cannot be met") as refused:
        PUBLISHED.spend(visuals, 1)
    least = int(str(refused.value).split(" is ")[1].split(" ")[0])
    assert cost(PUBLISHED, PUBLISHED.spend(visuals, least)) == least
    with pytest.raises(ConfigError):
        PUBLISHED.spend(visuals, least - 1)


def test_without_a_budget_nothing_changes(video):
    visual = {"type": "video", "video": video()}
    assert PUBLISHED.spend([visual]) == [visual]
    encoded = encode_visual({"type": "image", "image": frames(1)[0]}, SMALL.rule)
    assert SMALL.spend([encoded], 4000) == [encoded]


def test_a_limit_of_its_own(video):
    visual = {"type": "video", "video": video(num_frames=64), "max_visual_tokens": 500}
    (settled,) = PUBLISHED.spend([visual])
    assert cost(PUBLISHED, [settled]) <= 500
    roomy = {**visual, "max_visual_tokens": 10**6}
    assert PUBLISHED.spend([roomy]) == [{"type": "video", "video": visual["video"]}]
    limited, free = PUBLISHED.spend([visual, {"type": "video", "video": visual["video"]}], 4000)
    assert cost(PUBLISHED, [limited]) <= 500
    assert cost(PUBLISHED, [free]) > 1500
    with pytest.raises(ConfigError, match="max_visual_tokens"):
        PUBLISHED.spend([{**visual, "max_visual_tokens": 2}])
    with pytest.raises(ConfigError, match="max_visual_tokens"):
        PUBLISHED.spend([{**visual, "max_visual_tokens": 0}])


def test_the_context_is_a_limit_too(video):
    from dataclasses import replace

    planner = Planner(PUBLISHED.rule, replace(SIZES, context_length=1000))
    visual = {"type": "video", "video": video(num_frames=64)}
    settled = planner.spend([visual], 50_000, text_tokens=100, new_tokens=50)
    assert cost(planner, settled) <= 850
    with pytest.raises(ConfigError, match="context leaves room for 0"):
        planner.spend([visual], 50_000, text_tokens=1200)


def test_focus_gets_the_detail(video):
    path = video(num_frames=300, rate=10)
    visual = {"type": "video", "video": path, "focus": "00:10-00:12"}
    (settled,) = PUBLISHED.spend([visual])
    usual = forecast_visual({"type": "video", "video": path}, PUBLISHED.rule)
    found = forecast_visual(settled, PUBLISHED.rule)
    assert found.num_tokens <= usual.num_tokens
    stream = open_visual(settled, PUBLISHED.rule)
    assert [view.compression for view, _ in stream.views] == settled["compression"]
    header_frames = _indices(settled)
    inside = [100 <= index <= 120 for index in header_frames]
    assert sum(inside) == len(inside) / 2
    assert {ratio for ratio, is_in in zip(settled["compression"], inside) if is_in} <= {1, 2, 4}
    assert min(ratio for ratio, is_in in zip(settled["compression"], inside) if not is_in) > 4


def _indices(settled):
    from oryx.media.video import open_clip

    return open_clip(settled["video"], settled["max_frames"], focus=settled["focus"]).indices


@pytest.mark.parametrize("tokens", [150, 600, 2500])
def test_focus_within_a_budget(video, tokens):
    visual = {"type": "video", "video": video(num_frames=100, rate=10), "focus": "20-30"}
    (settled,) = SMALL.spend([visual], tokens)
    assert forecast_visual(settled, SMALL.rule).num_tokens <= tokens
    assert encode_visual(settled, SMALL.rule).num_tokens == forecast_visual(settled, SMALL.rule).num_tokens


def test_focus_on_a_list_of_frames():
    visual = {"type": "video", "video": frames(12), "focus": "3-5"}
    (settled,) = SMALL.spend([visual])
    ratios = settled["compression"]
    assert len(ratios) == 12
    assert max(ratios[3:6]) < min(ratios[:3] + ratios[6:])
    with pytest.raises(ConfigError, match="frame numbers"):
        SMALL.spend([{**visual, "focus": "00:01-00:02"}])
    with pytest.raises(ConfigError, match="outside the video"):
        SMALL.spend([{**visual, "focus": "12-13"}])


def test_focus_needs_something_to_give(video):
    with pytest.raises(ConfigError, match="ratio above 1"):
        SMALL.spend([{"type": "video", "video": video(), "focus": "0-1", "compression": 1}])
    with pytest.raises(ConfigError, match="has no key 'focus'"):
        SMALL.spend([{"type": "image", "image": frames(1)[0], "focus": "0-1"}], 100)


def test_auto_focus_finds_where_the_picture_changes():
    still = frames(1, seed=1)[0]
    clip = [still] * 16
    clip[9] = frames(1, seed=2)[0]
    (settled,) = SMALL.spend([{"type": "video", "video": clip, "focus": "auto"}])
    views = [view for view, _ in open_visual(settled, SMALL.rule).views]
    fine = [place for place, view in enumerate(views) if view.compression < max(settled["compression"])]
    assert set(fine[:3]) & {8, 9, 10}
    ranked = sorted(range(16), key=lambda place: views[place].compression)
    assert 9 in ranked[:1] or views[9].compression == min(settled["compression"])
    assert sorted(view.compression for view in views) == sorted(settled["compression"])


def test_auto_focus_costs_what_is_forecast(video):
    visual = {"type": "video", "video": video(num_frames=100, rate=10), "focus": "auto"}
    for tokens in (None, 200, 800):
        (settled,) = SMALL.spend([visual], tokens)
        assert (
            encode_visual(settled, SMALL.rule).num_tokens == forecast_visual(settled, SMALL.rule).num_tokens
        )
        assert len(set(settled["compression"])) == 2


def test_a_focus_that_was_not_spent_is_an_error():
    with pytest.raises(ConfigError, match="planner"):
        open_visual({"type": "video", "video": frames(4), "focus": "0-1", "compression": 4}, SMALL.rule)


def test_the_processor_spends(video):
    processor = make_processor()
    conversation = [{"from": "human", "value": "<image>\n<image>\nWhat?"}, {"from": "gpt", "value": None}]
    visuals = [
        {"type": "video", "video": str(video(num_frames=50, rate=10))},
        {"type": "image", "image": frames(1, 90, 70)[0]},
    ]
    planned = processor.planner.spend(visuals, 150)
    batch = processor.encode_conversation(conversation, visuals, supervise=None, budget=150)
    count = int((batch["input_ids"] == processor.image_token_id).sum())
    assert count == cost(processor.planner, planned) <= 150
    messages = [{"role": "user", "content": [*visuals, {"type": "text", "text": "What?"}]}]
    inputs = processor.apply_chat_template(messages, tokenize=True, return_dict=True, budget="150")
    assert int((inputs["input_ids"] == processor.image_token_id).sum()) == count
    with pytest.raises(ConfigError, match="must come from oryx"):
        processor.encode_conversation(conversation, visuals, supervise=None, budget="2GB")


def test_memory_and_time_need_numbers(video):
    visual = {"type": "video", "video": video()}
    with pytest.raises(ConfigError, match="must come from oryx"):
        Planner(PUBLISHED.rule).spend([visual], "2GB")
    with pytest.raises(ConfigError, match="calibrate"):
        PUBLISHED.spend([visual], "5s")


def test_memory_is_a_budget(video):
    visual = {"type": "video", "video": video(num_frames=600, rate=10)}
    rich = PUBLISHED.forecast([visual]).peak_memory_bytes
    most = rich + 20_000_000
    plan = PUBLISHED.forecast(PUBLISHED.spend([visual], {"memory": most}))
    assert plan.peak_memory_bytes <= most
    with pytest.raises(ConfigError, match=r"the least possible for this request is .* GB of memory"):
        PUBLISHED.spend([visual], "1MB")


KINDS = ("image", "video", "list", "views")


@pytest.mark.parametrize("seed", range(5))
def test_forecasts_are_exact_for_random_requests(video, tmp_path, seed):
    """Kinds, sizes, ratios and limits at random: the plan's tokens are those of the encoded visual."""
    rng = np.random.default_rng(seed)
    clip = video(
        num_frames=40, rate=8, height=2 * int(rng.integers(8, 45)), width=2 * int(rng.integers(8, 45))
    )
    for _ in range(20):
        visual = draw(rng, clip)
        budget = None if rng.random() < 0.3 else int(np.exp(rng.uniform(np.log(20), np.log(5000))))
        try:
            (settled,) = SMALL.spend([visual], budget)
        except ConfigError as refused:
            assert "cannot be met" in str(refused)  # noqa: PT017
            continue
        forecast = forecast_visual(settled, SMALL.rule)
        encoded = encode_visual(settled, SMALL.rule)
        assert encoded.num_tokens == forecast.num_tokens
        assert budget is None or forecast.num_tokens <= budget


def draw(rng, clip):
    """A visual dict of any kind with dials at random."""
    kind = KINDS[rng.integers(len(KINDS))]
    dials = {}
    if rng.random() < 0.4:
        dials["compression"] = int(rng.choice(list(REGIONS)))
    if rng.random() < 0.3:
        dials["max_pixels"] = int(rng.integers(100, 6000))
    if kind == "image":
        if rng.random() < 0.4:
            dials["detail"] = str(rng.choice(["high", "low"]))
        return {"type": "image", "image": noise(rng, *rng.integers(1, 150, 2)), **dials}
    if kind == "views":
        return {"type": "views", "views": [noise(rng, *rng.integers(8, 99, 2)) for _ in range(5)], **dials}
    if dials.get("compression") != 1 and rng.random() < 0.4:
        dials["focus"] = str(rng.choice(["auto", "2-5"]))
    if kind == "list":
        height, width = rng.integers(8, 99, 2)
        return {"type": "video", "video": [noise(rng, height, width) for _ in range(8)], **dials}
    if rng.random() < 0.4:
        dials["max_frames"] = int(rng.integers(1, 60))
    if rng.random() < 0.3:
        dials["fps"] = float(rng.uniform(0.5, 9))
    return {"type": "video", "video": str(clip), **dials}


def test_parsed_focus_is_taken_too(video):
    visual = {"type": "video", "video": video(num_frames=30, rate=10), "focus": parse_focus("3-5")}
    assert isinstance(SMALL.spend([visual])[0]["compression"], list)


def test_a_rate_over_its_cap_costs_what_it_does_without_a_budget(video):
    """`fps` without `max_frames` has the usual cap, with a budget and with a focus too."""
    visual = {"type": "video", "video": video(num_frames=300, rate=10), "fps": 10.0}
    usual = forecast_visual(visual, PUBLISHED.rule)
    (settled,) = PUBLISHED.spend([visual], usual.num_tokens)
    assert forecast_visual(settled, PUBLISHED.rule).num_frames == usual.num_frames == 64
    (focused,) = PUBLISHED.spend([{**visual, "focus": "0-20"}])
    assert forecast_visual(focused, PUBLISHED.rule).num_tokens <= usual.num_tokens


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """400 frames at 25 a second, with 4 to 8 keyframes."""
    from oryx.engine import calibration

    monkeypatch.setattr(calibration, "CLIP_FRAMES", 200)
    calibration.write_clip(tmp_path / "clip.mp4", 48, 64)
    return str(tmp_path / "clip.mp4")


@pytest.mark.parametrize("dials", [{}, {"focus": "20-60"}, {"focus": "auto"}, {"fps": 2.0}])
@pytest.mark.parametrize("budget", [None, 40, 150])
def test_keyframes_are_counted_as_they_will_be_read(clip, dials, budget):
    visual = {"type": "video", "video": clip, "keyframes": True, **dials}
    (settled,) = SMALL.spend([visual], budget)
    forecast = forecast_visual(settled, SMALL.rule)
    assert encode_visual(settled, SMALL.rule).num_tokens == forecast.num_tokens
    assert forecast.keyframes
    if budget is not None:
        assert forecast.num_tokens <= budget
        # Few frames, so their detail grows until the budget is used, or nothing is left to add.
        (rich,) = SMALL.spend([visual], 10**6)
        most = forecast_visual(rich, SMALL.rule).num_tokens
        assert forecast.num_tokens >= min(most, 0.6 * budget)


def test_notes_take_room_too(video):
    from dataclasses import replace

    planner = Planner(PUBLISHED.rule, replace(SIZES, context_length=3000))
    visual = {"type": "video", "video": video(num_frames=300, rate=10), "timestamps": True}
    settled = planner.spend([visual], 10**6, text_tokens=50, count_note=len)
    found = forecast_visual(settled[0], planner.rule)
    assert found.num_tokens + len(found.note) + 50 <= 3000
    assert found.num_tokens > 1000


def test_a_tiny_cap_is_no_crash():
    picture = {"type": "image", "image": frames(1, 100, 100)[0], "max_pixels": 1}
    assert cost(PUBLISHED, PUBLISHED.spend([picture], 100)) <= 100


@pytest.mark.parametrize(
    "dials",
    [
        {"max_frames": 0},
        {"max_frames": "8"},
        {"max_frames": 2.5},
        {"max_pixels": "9"},
        {"max_visual_tokens": "100"},
        {"max_visual_tokens": 0},
        {"fps": "x"},
        {"fps": float("nan")},
    ],
)
@pytest.mark.parametrize("budget", [None, 500])
def test_numbers_that_cannot_be_are_one_sentence(video, dials, budget):
    visuals = [{"type": "video", "video": source, **dials} for source in (video(), frames(4))]
    for visual in visuals:
        with pytest.raises(ConfigError, match=f"{next(iter(dials))} must be a"):
            encode_visual(SMALL.spend([visual], budget)[0], SMALL.rule)


def test_budgets_in_a_dict_and_of_numpy():
    assert Budget.parse({"memory": "2GB"}) == Budget(memory=2_000_000_000)
    assert Budget.parse(np.int64(7)) == Budget(tokens=7)
    assert Budget.parse(["4096,5s", "2GB"]) == Budget(4096, 2_000_000_000, 5.0)
    with pytest.raises(ConfigError, match="budget of memory cannot be '5s'"):
        Budget.parse({"memory": "5s"})


def test_ratios_of_ones_own_and_auto_exclude_each_other():
    visual = {"type": "video", "video": frames(4), "focus": "auto", "compression": [4, 16, 16, 4]}
    with pytest.raises(ConfigError, match="chooses the ratios itself"):
        SMALL.spend([visual])
    with pytest.raises(ConfigError, match="chooses the ratios itself"):
        SMALL.spend([visual], 500)
    settled = SMALL.spend([{**visual, "compression": None}])
    assert SMALL.spend(settled) == settled


def test_a_stream_knows_its_tokens_before_it_is_read(video):
    visual = {"type": "video", "video": video(num_frames=60, rate=10), "focus": "0-10"}
    (settled,) = SMALL.spend([visual])
    assert len(set(settled["compression"])) == 2
    assert open_visual(settled, SMALL.rule).num_tokens == forecast_visual(settled, SMALL.rule).num_tokens
