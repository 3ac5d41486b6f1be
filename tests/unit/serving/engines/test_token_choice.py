"""Tokens by the settings of each request, as the processors of transformers choose them."""

from types import SimpleNamespace

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from oryx.serving.engine import Sampling
from oryx.serving.engines.token_choice import TokenChoice

VOCAB, PLACEHOLDER = 32, 31
CPU = torch.device("cpu")


def request(request_id, prompt=(1, 2, VOCAB + 5, 3), generated=(), has_new_token=True):
    state = SimpleNamespace(
        request_id=request_id, initial_tokens=list(prompt), generated_tokens=list(generated)
    )
    return SimpleNamespace(state=state, has_new_token=has_new_token)


def choose(choice, scores, *requests):
    """The tokens that the manager takes."""
    choice.prepare_tensor_args(list(requests), torch.empty(0, 1))
    return choice(torch.empty(0), scores.clone(), torch.empty(0)).argmax(-1).tolist()


def scores_of(num_rows, seed=0):
    return torch.randn(num_rows, VOCAB, generator=torch.Generator().manual_seed(seed))


def test_greedy_takes_the_likeliest_but_never_the_placeholder():
    scores = scores_of(2)
    scores[0, PLACEHOLDER] = 100
    best = scores[:, :PLACEHOLDER].argmax(-1).tolist()
    assert choose(TokenChoice(VOCAB, PLACEHOLDER), scores, request("a"), request("b")) == best


def test_a_placeholder_outside_of_the_vocabulary_takes_no_token_away():
    scores = scores_of(1)
    scores[0, VOCAB - 1] = 100
    for placeholder in (-200, VOCAB + 9):
        assert choose(TokenChoice(VOCAB, placeholder), scores, request("a")) == [VOCAB - 1]


def test_requests_without_a_new_token_have_no_row():
    choice = TokenChoice(VOCAB, PLACEHOLDER)
    choice.add("sampled", Sampling(temperature=1.0, top_k=1, repetition_penalty=50.0), CPU)
    scores = torch.zeros(2, VOCAB)
    scores[0, 3] = scores[0, 4] = scores[1, 3] = 5.0
    scores[0, 4] = 4.0
    # The first row is that of the sampled request, which has said 3; the second is of no use.
    taken = choose(choice, scores, request("reads on", has_new_token=False), request("sampled"))
    assert taken[0] == 4


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 0.7, "top_k": 5}, {"temperature": 1.3, "top_p": 0.6}]
)
@pytest.mark.parametrize("penalty", [1.0, 1.8])
def test_draws_are_those_of_the_processors_of_transformers(settings, penalty):
    sampling = Sampling(**{"temperature": 1.0, **settings}, repetition_penalty=penalty, seed=3)
    processors = LogitsProcessorList()
    if penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(penalty))
    processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    choice = TokenChoice(VOCAB, PLACEHOLDER)
    choice.add("a", sampling, CPU)
    generator = torch.Generator().manual_seed(3)
    generated: list[int] = []
    for step in range(6):
        scores = scores_of(1, step)
        scores[:, PLACEHOLDER] = float("-inf")
        ids = torch.tensor([[1, 2, 3, *generated]])
        expected = torch.multinomial(processors(ids, scores).softmax(-1), 1, generator=generator).item()
        assert choose(choice, scores, request("a", generated=generated)) == [expected]
        generated.append(expected)


def test_a_seed_draws_the_same_whoever_is_in_the_batch():
    def draw(others):
        choice = TokenChoice(VOCAB, PLACEHOLDER)
        choice.add("a", Sampling(temperature=1.0, seed=5), CPU)
        choice.add("other", Sampling(temperature=1.0, seed=6), CPU)
        batch = [request("other")] * others + [request("a")]
        scores = scores_of(1).expand(len(batch), -1)
        return [choose(choice, scores, *batch)[-1] for _ in range(8)]

    assert draw(0) == draw(2)
    assert len(set(draw(0))) > 1


def test_without_a_seed_draws_differ():
    def draw():
        choice = TokenChoice(VOCAB, PLACEHOLDER)
        choice.add("a", Sampling(temperature=1.0), CPU)
        return [choose(choice, torch.zeros(1, VOCAB), request("a"))[0] for _ in range(20)]

    assert draw() != draw()


def test_the_penalty_counts_what_was_said_before_a_request_was_read_again():
    """The manager makes what was generated part of the prompt when it takes a request out and in again."""
    choice = TokenChoice(VOCAB, PLACEHOLDER)
    choice.add("a", Sampling(repetition_penalty=50.0), CPU)
    scores = torch.zeros(1, VOCAB)
    scores[0, 7], scores[0, 8], scores[0, 9] = 3.0, 2.0, 1.0
    assert choose(choice, scores, request("a", (1, 2))) == [7]
    assert choose(choice, scores, request("a", (1, 2), (7,))) == [8]
    assert choose(choice, scores, request("a", (1, 2, 7, 8), ())) == [9]


def test_who_has_left_is_greedy():
    choice = TokenChoice(VOCAB, PLACEHOLDER)
    choice.add("a", Sampling(repetition_penalty=50.0), CPU)
    choice.remove("a")
    choice.remove("greedy, and never added")
    scores = torch.zeros(1, VOCAB)
    scores[0, 1] = 5.0
    assert choose(choice, scores, request("a")) == [1]


def test_the_smallest_temperatures_are_greedy():
    choice = TokenChoice(VOCAB, PLACEHOLDER)
    choice.add("a", Sampling(temperature=1e-40), CPU)
    choice.add("b", Sampling(temperature=1e-5, repetition_penalty=0.01), CPU)
    scores = 30 * scores_of(2)
    taken = choose(choice, scores, request("a", ()), request("b", ()))
    assert taken == scores[:, :PLACEHOLDER].argmax(-1).tolist()
