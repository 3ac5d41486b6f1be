"""Prompts to answers, and to the loss of given answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from oryx.evaluation.lmms.generation import Generation
from oryx.evaluation.lmms.prompts import EncodedPrompt, PromptEncoder
from oryx.processing.collate import pad_batch


@dataclass(frozen=True)
class GeneratedAnswer:
    """What the model said."""

    text: str
    prompt_tokens: int
    """Positions of the prompt, visual tokens included."""
    new_tokens: int
    """Tokens generated, the end marker included."""


@torch.no_grad()
def generate_answers(
    encoder: PromptEncoder, prompts: Sequence[EncodedPrompt], generation: Generation
) -> list[GeneratedAnswer]:
    """The answers to a batch of prompts, in their order."""
    model, tokenizer = encoder.model, encoder.processor.tokenizer
    padded = pad_batch([prompt.sample for prompt in prompts], tokenizer.pad_token_id, "left")
    inputs = {name: padded[name].to(model.device) for name in ("input_ids", "attention_mask")}
    embeds = [prompt.embeds for prompt in prompts if prompt.embeds is not None]
    output = model.generate(
        **inputs, visual_embeds=torch.cat(embeds) if embeds else None, **generation.arguments()
    )
    new_ids = output[:, inputs["input_ids"].shape[1] :].cpu()
    answers = []
    for prompt, ids in zip(prompts, new_ids):
        is_pad = (ids == tokenizer.pad_token_id).cumsum(0) > 1  # the first one may be the end marker
        text = generation.cut(tokenizer.decode(ids, skip_special_tokens=True))
        answers.append(GeneratedAnswer(text, len(prompt.ids), int((~is_pad).sum())))
    return answers


@torch.no_grad()
def answer_loss(encoder: PromptEncoder, prompt: EncodedPrompt, answer: str) -> tuple[float, bool]:
    """The mean loss of an answer's tokens, and whether greedy decoding would give them.

    The answer stands where the model would write it, right behind the assistant's header, so space in front
    of it (lmms-eval's delimiter between question and answer) is left out.
    """
    model = encoder.model
    ids = encoder.processor.chat_encoder(encoder.settings.prompt_style).text_ids(answer.lstrip())
    if not ids:
        return 0.0, True
    whole = np.concatenate([prompt.ids, np.array(ids, dtype=np.int64)])
    input_ids = torch.from_numpy(whole)[None].to(model.device)
    output = model(input_ids=input_ids, visual_embeds=prompt.embeds, logits_to_keep=len(ids) + 1)
    logits_TV = output.logits[0, :-1].float()
    target_T = input_ids[0, -len(ids) :]
    loss = torch.nn.functional.cross_entropy(logits_TV, target_T)
    return float(loss), bool((logits_TV.argmax(-1) == target_T).all())
