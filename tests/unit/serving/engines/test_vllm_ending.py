"""vLLM is told to end in the order in which it has nothing to complain of."""

import asyncio
from types import SimpleNamespace

import pytest

from oryx.serving.engines.vllm import VllmEngine


class FakeLlm:
    """Stands for `AsyncLLM`: writes down what is done to it, and when its reader of answers ends."""

    def __init__(self, running=(), errored=False, is_reading=True):
        self.output_processor = SimpleNamespace(request_states=dict.fromkeys(running))
        self.errored = errored
        self.calls = []
        self.output_handler = asyncio.create_task(self.read()) if is_reading else None

    async def read(self):
        try:
            await asyncio.Event().wait()
        finally:
            self.calls.append("reader ended")

    async def abort(self, ids, internal):
        self.calls.append(("abort", ids, internal))

    def shutdown(self, timeout):
        self.calls.append(("shutdown", timeout > 5))


async def stopped(**settings):
    engine = VllmEngine("nano")
    engine._llm = llm = FakeLlm(**settings)
    await asyncio.sleep(0)
    await engine.stop()
    return llm


def test_the_reader_of_answers_ends_before_the_processes():
    llm = asyncio.run(stopped())
    assert llm.calls == ["reader ended", ("shutdown", True)]
    llm.shutdown()  # as `__del__` does at the interpreter's end, when vLLM's own would fail
    assert len(llm.calls) == 2


@pytest.mark.parametrize(("errored", "first"), [(False, ("abort", ["a", "b"], True)), (True, "reader ended")])
def test_requests_that_run_are_aborted_unless_the_engine_is_dead(errored, first):
    assert asyncio.run(stopped(running=["a", "b"], errored=errored)).calls[0] == first


def test_an_engine_that_was_never_asked_has_no_reader():
    assert asyncio.run(stopped(is_reading=False)).calls == [("shutdown", True)]
