"""What many clients at a time must find: right answers, none mixed up, and a server that does not grow."""

import asyncio
from collections.abc import Sequence
from typing import Any

import openai
import torch
from mixed_requests import MAX_TOKENS, mixed_requests
from served import Server, as_openai, with_line_breaks

import oryx

NUM_CLIENTS, NUM_REQUESTS, NUM_DISTINCT = 32, 1000, 100
WARM_UP = 300


def wanted_answers() -> list[tuple[str, int]]:
    """What `generate` answers to each distinct request, and how long its prompt is."""
    model, processor = oryx.load("nano", dtype="float32")
    answers = []
    for parts in mixed_requests(NUM_DISTINCT):
        messages = [{"role": "user", "content": with_line_breaks(parts)}]
        inputs = processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True
        )
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        num_prompt = inputs["input_ids"].shape[1]
        answers.append(
            (processor.tokenizer.decode(ids[0, num_prompt:], skip_special_tokens=True), num_prompt)
        )
    return answers


async def ask_all(url: str, requests: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """Answers and lengths of prompts, by so many clients at a time; every other one streams."""
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=300)
    places = asyncio.Semaphore(NUM_CLIENTS)

    async def ask(index: int, request: dict[str, Any]) -> tuple[str, int]:
        arguments = {"model": "nano", "max_tokens": MAX_TOKENS, **request}
        async with places:
            if index % 2:
                answer = await client.chat.completions.create(**arguments)
                return answer.choices[0].message.content, answer.usage.prompt_tokens
            text, num_prompt = "", 0
            options = {"include_usage": True}
            async for piece in await client.chat.completions.create(
                **arguments, stream=True, stream_options=options
            ):
                text += (piece.choices and piece.choices[0].delta.content) or ""
                num_prompt = piece.usage.prompt_tokens if piece.usage else num_prompt
            return text, num_prompt

    async with client:
        return await asyncio.gather(*(ask(*entry) for entry in enumerate(requests)))


def check_many_clients(server: Server) -> None:
    """A thousand mixed requests by 32 clients: every answer is that of `generate`, and memory stays."""
    distinct = [as_openai(parts) for parts in mixed_requests(NUM_DISTINCT)]
    wanted = wanted_answers()
    first = asyncio.run(ask_all(server.url, [distinct[i % NUM_DISTINCT] for i in range(WARM_UP)]))
    after_warm_up = server.memory
    answers = first + asyncio.run(
        ask_all(server.url, [distinct[i % NUM_DISTINCT] for i in range(NUM_REQUESTS)])
    )
    wrong = [
        i
        for i, answer in enumerate(answers)
        if answer != wanted[(i - WARM_UP * (i >= WARM_UP)) % NUM_DISTINCT]
    ]
    assert not wrong, [(answers[i], wanted[i % NUM_DISTINCT]) for i in wrong[:5]]
    grown = server.memory / after_warm_up
    print(f"memory after {NUM_REQUESTS:,} requests: {grown:.3f} of {after_warm_up / 2**20:,.0f} MiB")
    assert grown < 1.05
