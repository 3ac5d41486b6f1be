"""Places and the queue for them."""

import asyncio
import threading

import openai
import pytest
from fake_serving import eventually, serving
from http_calls import CHAT, Answer, ask, call

from oryx.serving.http.admission import LONGEST_RETRY, Admission
from oryx.serving.http.errors import BusyError
from oryx.serving.http.settings import Limits


async def hold(admission: Admission, name: str, order: list[str], release: asyncio.Event) -> None:
    async with admission.place():
        order.append(name)
        await release.wait()


def test_first_come_first_served():
    async def scene() -> list[str]:
        admission, order, releases = Admission(2, 9, 9), [], [asyncio.Event() for _ in range(5)]
        tasks = []
        for number, release in enumerate(releases):
            tasks.append(asyncio.create_task(hold(admission, str(number), order, release)))
            await asyncio.sleep(0)
        assert (admission.num_running, admission.num_waiting) == (2, 3)
        for number in (1, 0, 2, 3, 4):
            releases[number].set()
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks)
        assert (admission.num_running, admission.num_waiting) == (0, 0)
        return order

    assert asyncio.run(scene()) == ["0", "1", "2", "3", "4"]


def test_those_who_give_up_leave_no_gap():
    async def scene() -> list[str]:
        admission, order, release = Admission(1, 9, 9), [], asyncio.Event()
        first, second, third = [
            asyncio.create_task(hold(admission, name, order, release)) for name in ("a", "b", "c")
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second.cancel()
        release.set()
        await asyncio.gather(first, third)
        assert (admission.num_running, admission.num_waiting) == (0, 0)
        return order

    assert asyncio.run(scene()) == ["a", "c"]


def test_a_place_that_comes_as_its_owner_leaves_goes_to_the_next():
    async def scene() -> list[str]:
        admission, order, release = Admission(1, 9, 9), [], asyncio.Event()
        first, second, third = [
            asyncio.create_task(hold(admission, name, order, release)) for name in ("a", "b", "c")
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        release.set()
        await asyncio.sleep(0)  # the first runs on and passes its place to the second,
        second.cancel()  # which leaves before it takes it
        await asyncio.gather(first, third)
        assert (admission.num_running, admission.num_waiting) == (0, 0)
        return order

    assert asyncio.run(scene()) == ["a", "c"]


def test_a_full_queue_sends_away_with_a_time_to_come_back():
    async def scene() -> BusyError:
        admission, release = Admission(1, 1, 9), asyncio.Event()
        tasks = [asyncio.create_task(hold(admission, name, [], release)) for name in "ab"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as caught:
            async with admission.place():
                pass
        release.set()
        await asyncio.gather(*tasks)
        return caught.value

    error = asyncio.run(scene())
    assert (error.status, error.code, error.type) == (429, "queue_full", "rate_limit_error")
    assert 1 <= error.retry_after <= LONGEST_RETRY


def test_waiting_has_an_end():
    async def scene() -> BusyError:
        admission, release = Admission(1, 1, 0.02), asyncio.Event()
        task = asyncio.create_task(hold(admission, "a", [], release))
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as caught:
            async with admission.place():
                pass
        assert admission.num_waiting == 0
        release.set()
        await task
        return caught.value

    error = asyncio.run(scene())
    assert (error.status, error.code, error.type) == (503, "queue_timeout", "server_error")


def test_an_error_frees_the_place():
    async def scene() -> int:
        admission = Admission(1, 0, 1)
        with pytest.raises(ZeroDivisionError):
            async with admission.place():
                raise ZeroDivisionError
        return admission.num_running

    assert asyncio.run(scene()) == 0


def test_clients_are_told_when_the_server_is_full():
    with serving(Limits(max_places=2, max_queue=1, queue_seconds=30)) as running:
        answers: list[Answer] = []
        threads = [
            threading.Thread(target=lambda number=number: answers.append(ask(running, f"hold {number}")))
            for number in range(3)
        ]
        for thread in threads:
            thread.start()
        metrics = lambda: call(running, "GET", "/metrics").body  # noqa: E731
        eventually(
            lambda: b"oryx_requests_running 2.0" in metrics() and b"oryx_requests_queued 1.0" in metrics()
        )
        answer = ask(running, "one too many")
        assert (answer.status, answer.error["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
        with (
            openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client,
            pytest.raises(openai.RateLimitError, match="2 requests are being answered and 1 wait"),
        ):
            client.chat.completions.create(model="nano", messages=[{"role": "user", "content": "hi"}])
        running.engine.release.set()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in answers] == [200] * 3
        assert running.engine.most_running == 2


@pytest.mark.parametrize(
    ("part", "more", "code"),
    [
        ({"compression": 3}, {}, "invalid_dial"),
        ({"compression": [[]] * 1000}, {}, "invalid_dial"),
        ({"max_frame": 4}, {}, "unknown_dial"),
        ({"image_url": "attachment://a"}, {}, "unknown_attachment"),
        ({"detail": "low"}, {"mm_processor_kwargs": {"views": True}}, None),
    ],
)
def test_a_mistake_is_told_without_waiting_for_a_place(part, more, code):
    picture = {"type": "image_url", "image_url": "data:image/png;base64,AAAA", **part}
    body = {"messages": [{"role": "user", "content": [picture]}], **more}
    with serving(Limits(max_places=1, max_queue=0)) as running:
        thread = threading.Thread(target=ask, args=(running, "hold"))
        thread.start()
        eventually(lambda: running.engine.running)
        answer = call(running, "POST", CHAT, body)
        assert (answer.status, answer.error["code"]) == (400, code)
        running.engine.release.set()
        thread.join()


def test_who_waits_too_long_is_sent_away():
    with serving(Limits(max_places=1, max_queue=5, queue_seconds=0.1)) as running:
        thread = threading.Thread(target=ask, args=(running, "hold"))
        thread.start()
        eventually(lambda: running.engine.running)
        answer = ask(running, "hi")
        assert (answer.status, answer.error["code"]) == (503, "queue_timeout")
        assert "retry-after" in answer.headers
        running.engine.release.set()
        thread.join()


def test_who_leaves_the_queue_takes_no_place():
    with serving(Limits(max_places=1, max_queue=1, queue_seconds=30)) as running:
        thread = threading.Thread(target=ask, args=(running, "hold"))
        thread.start()
        eventually(lambda: running.engine.running)
        with openai.OpenAI(
            base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=0.2
        ) as client:
            for _ in range(3):  # the queue has room for one: each must have left before the next
                with pytest.raises(openai.APITimeoutError):
                    client.chat.completions.create(model="nano", messages=[{"role": "user", "content": "hi"}])
                eventually(lambda: b"oryx_requests_queued 0.0" in call(running, "GET", "/metrics").body)
        running.engine.release.set()
        thread.join()
        assert len(running.pool.jobs) == 1
        assert ask(running).status == 200
