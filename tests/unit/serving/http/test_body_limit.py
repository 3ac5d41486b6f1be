"""What all bodies together may take, and who has to wait."""

from fake_serving import eventually, serving
from http_calls import CHAT, QUESTION, ask, call, head, read_answer, wire

from oryx.serving.http.settings import Limits


def held(running) -> int:
    lines = call(running, "GET", "/metrics").body.splitlines()
    (line,) = (line for line in lines if line.startswith(b"oryx_held_bytes "))
    return int(float(line.split()[1]))


def test_all_bodies_together_have_a_limit():
    with serving(Limits(max_body=200_000, max_held=250_000)) as running, wire(running) as first:
        first.sendall(head("Content-Length: 200000") + QUESTION)
        eventually(lambda: held(running) == 200_000)  # as announced: what has begun will have room
        answer = call(running, "POST", CHAT, QUESTION.ljust(150_000), Content_Type="application/json")
        assert (answer.status, answer.error["code"]) == (503, "bodies_full")
        assert int(answer.headers["retry-after"]) > 0
        assert held(running) == 200_000
        first.sendall(b" " * (200_000 - len(QUESTION)))
        assert read_answer(first).status == 200
        eventually(lambda: held(running) == 0)
        assert (
            call(running, "POST", CHAT, QUESTION.ljust(150_000), Content_Type="application/json").status
            == 200
        )


def test_a_body_that_does_not_come_gives_its_room_back():
    with serving(Limits(max_body=200_000, max_held=250_000)) as running, wire(running) as first:
        first.sendall(head("Content-Length: 200000") + QUESTION)
        eventually(lambda: held(running) == 200_000)
        first.close()
        eventually(lambda: held(running) == 0)


def test_small_bodies_are_taken_while_large_ones_fill_the_server():
    with serving(Limits(max_body=200_000, max_held=200_000)) as running, wire(running) as first:
        first.sendall(head("Content-Length: 200000"))
        eventually(lambda: held(running) == 200_000)
        small = QUESTION.ljust(65_536)
        assert call(running, "POST", CHAT, small, Content_Type="application/json").status == 200
        assert ask(running).status == 200
        with wire(running) as second:
            second.sendall(
                head("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(small), small)
            )
            assert read_answer(second).status == 200


def test_a_body_of_unknown_length_is_counted_as_it_comes():
    with serving(Limits(max_body=200_000, max_held=200_000)) as running, wire(running) as first:
        first.sendall(head("Content-Length: 150000"))
        eventually(lambda: held(running) == 150_000)
        with wire(running) as second:
            second.sendall(head("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n" % (70_000, b" " * 70_000))
            answer = read_answer(second)
        assert (answer.status, answer.error["code"]) == (503, "bodies_full")
