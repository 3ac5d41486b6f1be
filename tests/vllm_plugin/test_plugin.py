"""Greedy answers of vLLM are those of `generate`, in every layout, alone and many at a time."""

import base64
from pathlib import Path

import pytest
import torch
from factories import make_config, make_model, make_tokenizer
from mixed_requests import EXAMPLES, MAX_TOKENS, mixed_requests
from vllm_requests import as_request, greedy, opened

import oryx
from oryx.checkpoints.convert import convert
from oryx.loading import load_processor, resolve_folder
from oryx.processing.processor import OryxProcessor


@pytest.fixture(scope="module", params=["nano", "oryx_qwen", "oryx_llama"])
def folder(request, tmp_path_factory):
    """nano as it is shipped, and the two published layouts over random weights.

    As in the 34B, the placeholder of `oryx_llama` lies beyond the vocabulary.
    """
    if request.param == "nano":
        return resolve_folder("nano")
    native, published = (tmp_path_factory.mktemp(request.param) / name for name in ("native", "published"))
    processor = OryxProcessor(make_tokenizer())
    model_type, vocab_size = {"oryx_qwen": ("qwen2", 261), "oryx_llama": ("llama", 260)}[request.param]
    assert processor.image_token_id == 260
    config = make_config(
        model_type,
        vision={"patch_size": 16, "position_grid_size": 16},
        hidden_size=64,  # vLLM's attention on a CPU has heads of 32 numbers or more
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=vocab_size,
    )
    config.image_token_id = processor.image_token_id
    make_model(config).save_pretrained(native)
    processor.save_pretrained(native)
    return convert(native, published)


def generated(model, processor, requests, **settings):
    """(messages, ids of the prompt, ids of the answer) of each request, by `generate` alone."""
    answers = []
    for parts in requests:
        messages = [{"role": "user", "content": parts}]
        inputs = processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True
        )
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False, **settings)
        num_prompt = inputs["input_ids"].shape[1]
        answers.append((messages, ids[0, :num_prompt].tolist(), ids[0, num_prompt:].tolist()))
    return answers


def as_vllm_sees(processor, llm, ids):
    """The ids of a prompt, with its first where the placeholder lies beyond the vocabulary."""
    placeholder = processor.image_token_id
    is_known = placeholder < llm.llm_engine.model_config.get_vocab_size()
    return [ids[0] if token == placeholder and not is_known else token for token in ids]


@pytest.fixture(scope="module")
def model(folder):
    return oryx.load(folder, dtype="float32")[0]


@pytest.fixture(scope="module")
def wanted(model, processor):
    return generated(model, processor, mixed_requests(100))


@pytest.fixture(scope="module")
def llm(folder, settings):
    with opened(folder, **settings) as llm:
        yield llm


@pytest.fixture(scope="module")
def processor(folder):
    return load_processor(folder)


@pytest.mark.parametrize("at_a_time", [1, 16])
def test_answers_are_those_of_generate(llm, processor, wanted, at_a_time):
    llm.reset_prefix_cache()
    requests = [as_request(processor, messages) for messages, _, _ in wanted]
    groups = [requests[start : start + at_a_time] for start in range(0, len(requests), at_a_time)]
    outputs = [out for group in groups for out in llm.generate(group, greedy(), use_tqdm=False)]
    for output, (messages, prompt, answer) in zip(outputs, wanted, strict=True):
        assert output.prompt_token_ids == as_vllm_sees(processor, llm, prompt), messages
        assert output.outputs[0].token_ids == answer, messages


def test_a_penalty_for_repetition_is_that_of_generate(llm, model, processor, wanted):
    expected = generated(model, processor, mixed_requests(15), repetition_penalty=1.1)
    assert [answer for *_, answer in expected] != [answer for *_, answer in wanted[:15]]
    requests = [as_request(processor, messages) for messages, *_ in expected]
    outputs = llm.generate(requests, greedy(repetition_penalty=1.1), use_tqdm=False)
    assert [output.outputs[0].token_ids for output in outputs] == [answer for *_, answer in expected]


def test_the_placeholder_is_never_chosen(llm, processor, wanted):
    """However likely it is: without the bias the answers are the same."""
    placeholder = processor.image_token_id
    if placeholder >= llm.llm_engine.model_config.get_vocab_size():
        pytest.skip("the language model knows none")
    requests = [as_request(processor, messages) for messages, *_ in wanted[:5]]
    outputs = llm.generate(requests, greedy(logit_bias={placeholder: 100.0}), use_tqdm=False)
    assert [output.outputs[0].token_ids for output in outputs] == [answer for *_, answer in wanted[:5]]


def test_dials_of_a_request_mean_what_they_mean_to_the_processor(llm, processor, video):
    messages = [
        {"role": "user", "content": [{"type": "video", "video": video}, {"type": "text", "text": "?"}]}
    ]
    lengths = set()
    for dials in (
        {"compression": 16},
        {"compression": 1, "max_frames": 4},
        {"fps": 1.0, "timestamps": True},
        {"max_pixels": 2048},
        {"budget": 200},
        {"budget": 200, "focus": "0-1"},
        {"prompt_style": "eval"},
    ):
        request = as_request(processor, messages) | {"mm_processor_kwargs": dials}
        (output,) = llm.generate([request], greedy(), use_tqdm=False)
        ids = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, **dials)
        assert output.prompt_token_ids == as_vllm_sees(processor, llm, ids[0].tolist()), dials
        lengths.add(len(output.prompt_token_ids))
    assert len(lengths) > 4


def test_a_files_bytes_are_read_by_the_dial(llm, processor, video):
    """As vLLM's server hands them on: the bytes of the file, whatever number of frames it would take."""
    from vllm.multimodal.media import MediaConnector

    fetched = MediaConnector(allowed_local_media_path="/").fetch_video(
        f"file://{video}", video_processor="OryxVideoReader"
    )
    messages = [
        {"role": "user", "content": [{"type": "video", "video": video}, {"type": "text", "text": "?"}]}
    ]
    request = as_request(processor, messages)
    request |= {"multi_modal_data": {"video": fetched}, "mm_processor_kwargs": {"max_frames": 3}}
    (output,) = llm.generate([request], greedy(), use_tqdm=False)
    ids = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, max_frames=3)
    assert output.prompt_token_ids == as_vllm_sees(processor, llm, ids[0].tolist())


def test_frames_may_be_views_of_one_scene(llm, processor):
    messages = next(
        [{"role": "user", "content": parts}] for parts in mixed_requests(5) if parts[0]["type"] == "views"
    )
    frames = {"type": "video", "video": messages[0]["content"][0]["views"]}
    request = as_request(processor, messages) | {
        "multi_modal_data": {"video": [frames]},
        "mm_processor_kwargs": {"views": True, "compression": 1},
    }
    (output,) = llm.generate([request], greedy(), use_tqdm=False)
    ids = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)
    assert output.prompt_token_ids == as_vllm_sees(processor, llm, ids[0].tolist())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mm_processor_kwargs": {"compresion": 4}}, "did you mean 'compression'"),
        ({"mm_processor_kwargs": {"compression": 3}}, "3"),
        ({"prompt": "no place for it"}, "<image>"),
        ({"mm_processor_kwargs": {"visual_places": [999]}}, "indices from 0 to .*; 999 is none"),
        ({"mm_processor_kwargs": {"visual_places": [-1]}}, "indices from 0 to .*; -1 is none"),
        ({"mm_processor_kwargs": {"visual_places": "0"}}, "must be a list of indices"),
        ({"mm_processor_kwargs": {"visual_places": [True]}}, "must be a list of indices"),
        ({"mm_processor_kwargs": {"prompt_style": [1]}}, "prompt_style must be"),
        ({"mm_processor_kwargs": {"views": "yes"}}, "views must be true or false"),
    ],
)
def test_a_wrong_request_gets_a_sentence_and_the_engine_goes_on(llm, processor, changes, words):
    picture = mixed_requests(2)[1][0]["image"]
    messages = [{"role": "user", "content": [{"type": "image", "image": picture}]}]
    with pytest.raises(ValueError, match=words):
        llm.generate([as_request(processor, messages) | changes], greedy(), use_tqdm=False)
    assert llm.generate([as_request(processor, messages)], greedy(), use_tqdm=False)


def test_a_medium_is_encoded_once_per_dial(llm, processor):
    picture = str(EXAMPLES / "scene.png")
    messages = [
        {"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "?"}]}
    ]
    llm.reset_prefix_cache()
    cached = []
    for dials in ({"compression": 1}, {"compression": 1}, {"compression": 4}):
        request = as_request(processor, messages) | {"mm_processor_kwargs": dials}
        (output,) = llm.generate([request], greedy(), use_tqdm=False)
        cached.append(output.num_cached_tokens)
    assert cached[0] == cached[2] == 0
    assert cached[1] > 0


def test_a_clients_name_for_a_medium_does_not_hide_its_dial(llm, processor):
    picture = str(EXAMPLES / "scene.png")
    messages = [
        {"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "?"}]}
    ]
    lengths = []
    for compression in (1, 16, 1):
        request = as_request(processor, messages) | {
            "mm_processor_kwargs": {"compression": compression},
            "multi_modal_uuids": {"image": ["my picture"]},
        }
        (output,) = llm.generate([request], greedy(), use_tqdm=False)
        lengths.append(len(output.prompt_token_ids))
    assert lengths[0] == lengths[2] > lengths[1]


def test_weights_may_be_read_once_more(llm, processor, wanted):
    """As vLLM does it when it wakes up from a deep sleep."""
    llm.collective_rpc("reload_weights")
    llm.llm_engine.reset_encoder_cache()  # the workers have forgotten theirs
    llm.reset_prefix_cache()
    requests = [as_request(processor, messages) for messages, *_ in wanted[:10]]
    outputs = llm.generate(requests, greedy(), use_tqdm=False)
    assert [output.outputs[0].token_ids for output in outputs] == [answer for *_, answer in wanted[:10]]


def test_chat_with_files_as_vllms_own_server_takes_them(llm, processor, video):
    def data_url(kind, path):
        return {"url": f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"}

    picture = str(EXAMPLES / "scene.png")
    ours = [
        {"type": "video", "video": video, "compression": 4, "max_frames": 3},
        {"type": "text", "text": "and"},
        {"type": "image", "image": picture, "compression": 4},
        {"type": "text", "text": "What comes first?"},
    ]
    theirs = [
        {"type": "video_url", "video_url": data_url("video/mp4", video)},
        ours[1],
        {"type": "image_url", "image_url": data_url("image/png", picture)},
        ours[3],
    ]
    (output,) = llm.chat(
        [{"role": "user", "content": theirs}],
        greedy(),
        use_tqdm=False,
        mm_processor_kwargs={"compression": 4, "max_frames": 3},
    )
    ids = processor.apply_chat_template(
        [{"role": "user", "content": ours}], add_generation_prompt=True, tokenize=True
    )
    assert output.prompt_token_ids == as_vllm_sees(processor, llm, ids[0].tolist())
