"""The model as lmms-eval drives it. Imported by lmms-eval alone: nothing else needs lmms-eval."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from lmms_eval.api.instance import GenerationResult, TokenCounts
from lmms_eval.api.model import lmms
from loguru import logger
from tqdm import tqdm

from oryx.engine.cache import VisualTokenCache
from oryx.errors import ConfigError, MediaError, OryxError
from oryx.evaluation.lmms.answering import answer_loss, generate_answers
from oryx.evaluation.lmms.caching import forget_log
from oryx.evaluation.lmms.generation import Generation
from oryx.evaluation.lmms.lazy import LazyList
from oryx.evaluation.lmms.prompts import EncodedPrompt, PromptEncoder, PromptTooLongError, render_prompt
from oryx.evaluation.lmms.requests import (
    Request,
    describe_duplicates,
    describe_missing,
    find_duplicates,
    find_missing,
    read_requests,
)
from oryx.evaluation.lmms.settings import PluginSettings
from oryx.evaluation.lmms.tally import Tally
from oryx.loading import load, resolve_device


@contextmanager
def one_sentence() -> Iterator[None]:
    """A user's mistake ends the run with one sentence and code 2, where lmms-eval would print a traceback."""
    try:
        yield
    except OryxError as error:
        print(f"oryx: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None


@contextmanager
def _naming(request: Request) -> Iterator[None]:
    try:
        yield
    except OryxError as error:
        raise type(error)(f"{request.name}: {error}") from None


def _generation(request: Request) -> Generation:
    try:
        return Generation.read(request.generation)
    except ConfigError as error:
        raise ConfigError(f"{request.task}: {error}") from None


class OryxChat(lmms):
    """Oryx behind lmms-eval's chat tasks. The arguments are those of `PluginSettings`."""

    is_simple = False

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        with one_sentence():
            self.settings = PluginSettings.parse(arguments)
            settings = self.settings
            self.model, self.processor = load(
                settings.model,
                settings.dtype,
                _own_device(settings.device),
                settings.vision_tower,
                settings.attn_implementation,
                quantize=settings.quantize,
            )
        forget_log()
        self._cache = VisualTokenCache()
        self._device = self.model.device

    @property
    def device(self) -> torch.device:
        """Where lmms-eval puts what its processes tell each other."""
        return self._device

    @property
    def batch_size(self) -> int:
        """Prompts generated together."""
        return self.settings.batch_size

    def generate_until(self, requests: Sequence[Any]) -> Sequence[GenerationResult]:
        """The answers, in order; each is made when it is read (see `LazyList`)."""
        with one_sentence():
            asked = read_requests(requests, self.task_dict)
            # All of them, so that none ends the run in its middle.
            generations = [_generation(request) for request in asked]
            skipped = self._check(asked)
        return LazyList(self._generate(asked, generations, skipped), len(asked))

    def loglikelihood(self, requests: Sequence[Any]) -> Sequence[GenerationResult]:
        """For each continuation its mean loss and whether it is the greedy answer; made when it is read.

        lmms-eval's multimodal tasks take the smallest number for the likeliest answer: they expect the loss,
        not its negative as the name says. And of bare pairs lmms-eval 0.7.3 makes text, so these come as the
        "text" of a result, which it takes as it is.
        """
        with one_sentence():
            asked = read_requests(requests, self.task_dict)
            self._check(asked, can_skip=False)
        return LazyList(self._losses(asked), len(asked))

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refused: no benchmark of the paper asks in rounds."""
        with one_sentence():
            raise OryxError("tasks of several rounds are not supported; choose one that asks once.")
        return []

    def _check(self, asked: Sequence[Request], can_skip: bool = True) -> dict[int, str]:
        """Requests to go without, by index.

        Args:
            can_skip: an answer can be empty. Losses cannot: of options all alike the first would win.

        Raises:
            OryxError: media are missing or ids are there twice, and the run is to end over it.
        """
        duplicates = find_duplicates(asked, self.task_dict)
        if duplicates:
            sentence = describe_duplicates(duplicates)
            if self.settings.duplicates == "error":
                raise OryxError(sentence)
            logger.warning(sentence)
        missing = find_missing(asked, self.settings.several_images)
        if missing:
            sentence = describe_missing(missing, len(asked), can_skip)
            if self.settings.missing == "error" or not can_skip:
                raise OryxError(sentence)
            logger.warning(sentence)
        return missing

    def _generate(
        self, asked: Sequence[Request], generations: Sequence[Generation], skipped: dict[int, str]
    ) -> Iterator[GenerationResult]:
        encoder = PromptEncoder(self.model, self.processor, self.settings, self._cache)
        tally = Tally()
        with one_sentence(), self._progress(len(asked)) as bar:
            for batch in self._batches(generations):
                generation = generations[batch[0]]
                prompts: dict[int, EncodedPrompt] = {}
                for index in batch:
                    prompt = self._encode(encoder, asked, index, skipped, generation.max_new_tokens)
                    if prompt is not None:
                        prompts[index] = prompt
                made = generate_answers(encoder, list(prompts.values()), generation) if prompts else []
                answers = dict(zip(prompts, made))
                for index in batch:
                    bar.update()
                    answer = answers.get(index)
                    tally.count(asked[index], "" if answer is None else answer.text)
                    if answer is None:
                        # The empty answer: lmms-eval scores it as wrong and does not keep it.
                        yield GenerationResult(text="")
                    else:
                        counts = TokenCounts(answer.prompt_tokens, answer.new_tokens)
                        yield GenerationResult(text=answer.text, token_counts=counts)
            tally.tell(skipped, asked)

    def _losses(self, asked: Sequence[Request]) -> Iterator[GenerationResult]:
        encoder = PromptEncoder(self.model, self.processor, self.settings, self._cache)
        with one_sentence(), self._progress(len(asked)) as bar:
            for request in asked:
                loss = (float("inf"), False)
                if not request.is_padding:
                    with _naming(request):
                        prompt = self._read(encoder, request, len(request.continuation))
                    loss = answer_loss(encoder, prompt, request.continuation)
                bar.update()
                yield GenerationResult(text=_Pair(loss))

    def _batches(self, generations: Sequence[Generation]) -> Iterator[list[int]]:
        """Indices of neighbours that are generated alike, at most `batch_size` together."""
        alike = groupby(range(len(generations)), generations.__getitem__)
        for _, indices in alike:
            rest = list(indices)
            for start in range(0, len(rest), self.batch_size):
                yield rest[start : start + self.batch_size]

    def _encode(
        self,
        encoder: PromptEncoder,
        asked: Sequence[Request],
        index: int,
        skipped: dict[int, str],
        num_new: int,
    ) -> EncodedPrompt | None:
        """The prompt of a request; None if it goes without an answer."""
        request, settings = asked[index], self.settings
        if request.is_padding or index in skipped:
            return None
        with _naming(request):
            try:
                return self._read(encoder, request, num_new)
            except (MediaError, PromptTooLongError) as error:
                setting = "missing" if isinstance(error, MediaError) else "too_long"
                sentence = str(error).rstrip(".")
                if getattr(settings, setting) == "error":
                    raise type(error)(
                        f"{sentence}. Go on with {setting}=skip, which counts it as wrong."
                    ) from None
        skipped[index] = f"{request.name}: {sentence}."
        logger.warning(skipped[index])
        return None

    def _read(self, encoder: PromptEncoder, request: Request, num_new: int) -> EncodedPrompt:
        prompt = encoder.encode(request.messages(self.settings.several_images), num_new)
        self._log(request, prompt)
        return prompt

    def _log(self, request: Request, prompt: EncodedPrompt) -> None:
        if self.settings.log_prompts is None:
            return
        text = render_prompt(self.processor, prompt.sample)
        line = json.dumps(
            {"task": request.task, "doc_id": request.doc_id, "prompt": text}, ensure_ascii=False
        )
        try:
            # Written in one piece, so that lines of several processes do not mix.
            with open(self.settings.log_prompts, "ab", buffering=0) as file:
                file.write(f"{line}\n".encode())
        except OSError as error:
            raise OryxError(f"{self.settings.log_prompts} cannot be written ({error.strerror}).") from None

    def _progress(self, total: int) -> Any:
        return tqdm(total=total, desc="Model Responding", disable=self.rank != 0)


class OryxSimple(OryxChat):
    """The same for lmms-eval's simple tasks, those that compare likelihoods too (`--force_simple`)."""

    is_simple = True


class _Pair(tuple[float, bool]):
    """(loss, is greedy) where lmms-eval expects a text."""

    def strip(self) -> str:
        """Empty, so that the response cache does not keep it: it would give the pair back as a list."""
        return ""


def _own_device(name: str) -> str | torch.device:
    """Each process of several has an accelerator of its own where "auto" finds one."""
    device = resolve_device(name)
    if name == "auto" and device.type != "cpu" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return torch.device(device.type, int(os.environ.get("LOCAL_RANK", "0")))
    return device
