"""The cache of visual tokens: what is the same visual, what is not, and what is dropped first."""

import threading

import pytest
import torch
from factories import RULE, make_conversation, make_model, make_picture, make_processor, make_visual

from oryx.engine import cache as home
from oryx.engine.cache import VisualTokenCache, fingerprint
from oryx.engine.encode import encode_tokens
from oryx.errors import ConfigError
from oryx.processing.visuals import encode_visual


@pytest.fixture
def calls(monkeypatch):
    """How often something was encoded."""
    made = []
    original = home.encode_tokens
    monkeypatch.setattr(home, "encode_tokens", lambda *a, **k: made.append(1) or original(*a, **k))
    return made


@pytest.fixture
def cache():
    return VisualTokenCache()


def test_a_second_look_encodes_nothing(model, processor, cache, calls, video):
    visual = {"type": "video", "video": str(video()), "max_frames": 4}
    first = cache.encode(model, processor, visual)
    again = cache.encode(model, processor, dict(visual), progress=lambda *_: pytest.fail("it was encoded"))
    assert len(calls) == 1
    assert torch.equal(again.embeds, first.embeds)
    assert torch.equal(again.embeds, encode_tokens(model, processor, visual).embeds)
    assert (again.views, again.times, again.kind) == (first.views, first.times, first.kind)
    assert not again.embeds.requires_grad
    assert (cache.stats.hits, cache.stats.misses, cache.stats.num_visuals) == (1, 1, 1)


def test_the_prompt_of_a_found_video_is_written_without_its_file(model, processor, cache, video):
    visual = {"type": "video", "video": str(video()), "max_frames": 4}
    cache.encode(model, processor, visual)
    found = cache.encode(model, processor, visual)
    turns = make_conversation("<image>\nWhat?")
    expected = processor.encode_sample(turns, [visual], None).ids
    assert (processor.encode_sample(turns, [found.stand_in()], None).ids == expected).all()


@pytest.mark.parametrize(
    "dials",
    [{"compression": 16}, {"max_frames": 3}, {"max_pixels": 256}, {"fps": 2.0}, {"compression": [4] * 4}],
)
def test_other_dials_are_another_entry(model, processor, cache, calls, video, dials):
    visual = {"type": "video", "video": str(video()), "max_frames": 4}
    cache.encode(model, processor, visual)
    cache.encode(model, processor, {**visual, **dials})
    assert len(calls) == 2


def test_dials_left_at_none_and_text_dials_are_the_same_entry(model, processor, cache, calls, video):
    visual = {"type": "video", "video": str(video())}
    cache.encode(model, processor, visual)
    cache.encode(model, processor, {**visual, "compression": None, "timestamps": True, "subtitles": ["Hi"]})
    assert len(calls) == 1


def test_a_video_and_views_of_the_same_pictures_are_two_entries(model, processor, cache, calls):
    frames = [make_picture(seed=seed) for seed in range(2)]
    for kind in ("video", "views"):
        cache.encode(model, processor, {"type": kind, kind: frames})
    assert len(calls) == 2


def test_a_file_that_changed_is_encoded_again(model, processor, cache, calls, video):
    visual = {"type": "video", "video": str(video(seed=1))}
    first = cache.encode(model, processor, visual)
    video(seed=2)
    second = cache.encode(model, processor, visual)
    assert len(calls) == 2
    assert not torch.equal(first.embeds, second.embeds)


def test_a_file_written_to_while_it_is_encoded_is_not_kept(model, processor, cache, video):
    visual = {"type": "video", "video": str(video(seed=1))}
    cache.encode(model, processor, visual, progress=lambda *_: video(seed=2) and None)
    assert cache.stats.num_visuals == 0


def test_another_resize_rule_is_another_entry(model, processor, cache, calls):
    visual = make_visual("video")
    cache.encode(model, processor, visual)
    cache.encode(model, make_processor(resize_rule={**RULE, "video_max_area": 16**2}), visual)
    assert len(calls) == 2


def change_in_place(model):
    with torch.no_grad():
        model.projector.fc1.weight.add_(1.0)


def change_by_loading(model):
    model.load_state_dict({key: value + 1 for key, value in model.state_dict().items()})


def change_by_learning(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def change_the_tensor(model):
    model.compressor.query.weight = torch.nn.Parameter(model.compressor.query.weight + 1)


def change_the_dtype(model):
    model.to(torch.bfloat16)


@pytest.mark.parametrize(
    "change", [change_in_place, change_by_loading, change_by_learning, change_the_tensor, change_the_dtype]
)
def test_changed_weights_are_another_model(processor, cache, calls, change):
    model, visual = make_model(), make_visual()
    before = fingerprint(model)
    cache.encode(model, processor, visual)
    change(model)
    assert fingerprint(model) != before
    cache.encode(model, processor, visual)
    assert len(calls) == 2


def test_two_models_share_nothing(processor, cache, calls):
    visual = make_visual()
    for seed in range(2):
        cache.encode(make_model(seed=seed), processor, visual)  # the second may take the first's addresses
    assert len(calls) == 2


def test_training_the_language_model_keeps_visual_tokens(processor, cache, calls):
    model, visual = make_model(), make_visual()
    cache.encode(model, processor, visual)
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1.0)
    cache.encode(model, processor, visual)
    assert len(calls) == 1


def test_what_was_not_used_for_longest_is_dropped(model, processor, calls):
    visuals = [make_visual(seed=seed) for seed in range(3)]
    size = encode_tokens(model, processor, visuals[0]).embeds.untyped_storage().nbytes()
    cache = VisualTokenCache(2 * size)
    cache.encode(model, processor, visuals[0])
    cache.encode(model, processor, visuals[1])
    cache.encode(model, processor, visuals[0])
    cache.encode(model, processor, visuals[2])
    assert cache.stats.num_bytes == 2 * size
    calls.clear()
    cache.encode(model, processor, visuals[0])
    assert not calls
    cache.encode(model, processor, visuals[1])
    assert len(calls) == 1


def test_what_is_larger_than_the_cache_is_not_kept(model, processor):
    cache = VisualTokenCache(100)
    cache.encode(model, processor, make_visual())
    assert (cache.stats.num_visuals, cache.stats.num_bytes) == (0, 0)


def test_clear(model, processor, cache, calls):
    cache.encode(model, processor, make_visual())
    cache.clear()
    assert cache.stats.num_bytes == 0
    cache.encode(model, processor, make_visual())
    assert len(calls) == 2


def test_what_cannot_be_named_is_encoded_each_time(model, processor, cache, calls):
    encoded = encode_visual(make_visual(), processor.rule)
    cache.encode(model, processor, encoded)
    cache.encode(model, processor, encoded)
    assert len(calls) == 2
    assert cache.key(model, processor, {**make_visual(), "max_pixels": object()}) is None


def test_a_found_visual_is_refused_where_there_is_no_room(model, processor, cache):
    def check(num_tokens):
        raise ConfigError(f"{num_tokens} are too many")

    tokens = cache.encode(model, processor, make_visual())
    with pytest.raises(ConfigError, match=f"{tokens.num_tokens} are too many"):
        cache.encode(model, processor, make_visual(), check=check)


def test_many_threads(model, processor):
    visuals = [make_visual(seed=seed) for seed in range(4)]
    size = encode_tokens(model, processor, visuals[0]).embeds.untyped_storage().nbytes()
    cache, errors = VisualTokenCache(2 * size), []
    expected = [encode_tokens(model, processor, visual).embeds for visual in visuals]

    def work(start):
        try:
            for number in range(12):
                place = (start + number) % 4
                assert torch.equal(cache.encode(model, processor, visuals[place]).embeds, expected[place])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert cache.stats.num_bytes <= 2 * size
    assert cache.stats.hits + cache.stats.misses == 48


@pytest.mark.parametrize("size", [-1, 1.5, True])
def test_a_size_that_cannot_be(size):
    with pytest.raises(ConfigError, match="max_bytes must be a whole number"):
        VisualTokenCache(size)
