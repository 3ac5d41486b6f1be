"""The page in a real browser: what a person would do with it, over `nano` and over another server.

Needs Chromium and Playwright. `ORYX_PAGE_PICTURES=docs/pictures` keeps the pictures that the docs show.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from fake_openai import fake_openai
from PIL import Image

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

EXAMPLES = Path(__file__).parents[2] / "examples"
BOX = "#question textarea"
DESK, PHONE = (
    {"viewport": {"width": 1280, "height": 820}},
    {
        "viewport": {"width": 390, "height": 844},
        "is_mobile": True,
        "has_touch": True,
        "device_scale_factor": 2,
    },
)


@contextmanager
def served(*options: str) -> Iterator[str]:
    """`oryx web` with these options; its address."""
    command = [sys.executable, "-m", "oryx", "web", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: said.put(process.stdout.readline()), daemon=True).start()
    try:
        address = re.search(r"http://\S+?(?=;)", said.get(timeout=120))
        assert address, process.stderr.read()
        yield address[0]
    finally:
        process.terminate()
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def nano_page(browser) -> Iterator[str]:
    with served() as address:
        with opened(browser, address, DESK) as page:  # the first answers are slower than those behind them
            for name in ("sign.png", "moving.mp4"):
                upload(page, name)
                page.wait_for_selector("#strip svg")
                ask(page, "What is there?", 1)
                page.click("#files [aria-label=Clear]")
                page.wait_for_selector(".talk.empty")
        yield address


@contextmanager
def opened(browser, address: str, kind: dict, scheme: str = "light") -> Iterator:
    """The page in a browser that reaches nothing else; it must not have tried to, nor have failed."""
    context = browser.new_context(color_scheme=scheme, **kind)
    foreign, faults = [], []

    def pass_on(route):
        url = route.request.url
        if url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            foreign.append(url)
            route.abort()

    context.route("**/*", pass_on)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    page.wait_for_selector(BOX)
    yield page
    context.close()
    assert foreign == []
    assert faults == []


def upload(page, *names: str | Path) -> None:
    page.set_input_files("#files input[type=file]", [str(EXAMPLES / name) for name in names])


def figure(page, name: str, lane: str = "A") -> int:
    text = page.inner_text(f'#plan [data-lane="{lane}"] [data-figure="{name}"]')
    return int(text.split()[0].replace(",", ""))


def wait_for_visual(page, count: int, lane: str = "A") -> None:
    page.wait_for_function(
        "([lane, count]) => document.querySelector(`#plan [data-lane=${lane}] [data-figure=visual]`)"
        "?.innerText == count",
        arg=[lane, f"{count:,}"],
    )


def wait_for_strip(page, words: str) -> None:
    page.wait_for_function(
        "words => document.querySelector('#strip .about')?.innerText.includes(words)", arg=words
    )


def submit(page, question: str, number: int = 1) -> None:
    """Ask, again if the page was not done with the question before."""
    page.fill(BOX, question)
    for _ in range(20):
        page.press(BOX, "Enter")
        try:
            page.wait_for_function(
                "n => document.querySelectorAll('.turn').length == n", arg=number, timeout=3000
            )
            return
        except sync_api.TimeoutError:
            continue
    raise AssertionError(f"{question!r} was not taken")


def ask(page, question: str, number: int) -> dict[str, str]:
    """Ask, and wait for the end of turn `number`; answers by lane."""
    submit(page, question, number)
    page.wait_for_function(
        "n => document.querySelectorAll('.turn').length == n && [...document.querySelectorAll('.reply')]"
        ".every(reply => reply.matches('.done, .failed, .stopped'))",
        arg=number,
    )
    page.wait_for_selector("#ask", state="visible")
    replies = page.query_selector_all(".turn:last-child .reply")
    return {
        reply.get_attribute("data-lane"): reply.query_selector(".answer").inner_text() for reply in replies
    }


def has_sideways_scroll(page) -> bool:
    return page.evaluate(
        "() => [...document.querySelectorAll('body, body *')].some(e => e.checkVisibility() && "
        "e.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(e).position != 'fixed') "
        "|| document.documentElement.scrollWidth > innerWidth"
    )


def keep(page, tmp_path: Path, name: str, full: bool = False) -> None:
    """Take a picture, of the whole page if it is to be `full`; in a palette where it is for the docs."""
    if full:
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": page.viewport_size["width"], "height": height})
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    target = tmp_path / name
    page.screenshot(path=target)
    picture = Image.open(target).convert("RGB")
    assert len(picture.getcolors(2**24)) > 50  # not an empty page
    kept = os.environ.get("ORYX_PAGE_PICTURES")
    if kept:
        picture.quantize(192, dither=Image.Dither.NONE).save(Path(kept) / name, optimize=True)


def test_a_picture(browser, nano_page, tmp_path):
    with opened(browser, nano_page, DESK) as page:
        upload(page, "scene.png")
        page.wait_for_selector("#strip svg")
        wait_for_visual(page, 191)
        assert page.locator("#strip svg").count() == 2
        before = figure(page, "prompt")
        page.fill(BOX, "Where is the red circle?")
        page.wait_for_function(
            "before => !document.querySelector('#plan [data-figure=prompt]').innerText.startsWith(before)",
            arg=str(before),
        )
        planned = figure(page, "prompt")
        assert planned > before
        assert ask(page, "Where is the red circle?", 1) == {"A": "top right"}
        cost = page.inner_text(".cost")
        assert f"191 visual · {planned} prompt" in cost
        assert re.search(r"\d new tokens · \d+\.\d\ds, first word", cost.replace("\u00a0", ""))
        assert ask(page, "What is at the bottom left?", 2) == {"A": "blue square"}
        assert re.search(r"prompt \(\d+ kept\)", page.inner_text(".turn:last-child .cost"))
        assert page.inner_text("#plan .next") == "Next question"
        keep(page, tmp_path, "web-picture.png")
        heights = page.evaluate("[document.documentElement.scrollHeight, innerHeight]")
        assert heights[0] <= heights[1], heights  # all without scrolling


def test_a_video_its_dials_and_two_settings(browser, nano_page, tmp_path):
    with opened(browser, nano_page, DESK, "dark") as page:
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert not page.is_visible("#frames-A")
        upload(page, "order.mp4")
        wait_for_visual(page, 254)
        page.wait_for_function("() => document.querySelectorAll('#strip svg').length == 12")
        lines = page.get_attribute("#strip svg path", "d")
        page.click("#compression-A >> text=16")
        wait_for_visual(page, 86)
        page.wait_for_function(
            "lines => document.querySelector('#strip svg path').getAttribute('d') != lines", arg=lines
        )
        page.fill("#frames-A input[type=number]", "4")
        page.press("#frames-A input[type=number]", "Tab")
        wait_for_visual(page, 30)
        page.wait_for_function("() => document.querySelectorAll('#strip svg').length == 4")
        page.fill("#tokens-A input, #tokens-A textarea", "3")
        page.wait_for_selector("#plan .sentence")
        assert "A budget of 3 visual tokens cannot be met" in page.inner_text("#plan .sentence")
        page.fill("#tokens-A input, #tokens-A textarea", "")
        wait_for_visual(page, 30)
        page.fill("#frames-A input[type=number]", "64")
        page.press("#frames-A input[type=number]", "Tab")
        page.click("#compression-A >> text=auto")
        wait_for_visual(page, 254)
        assert ask(page, "What comes last?", 1) == {"A": "green triangle"}
        page.check("#compare input")
        page.click("#compression-B >> text=16")
        wait_for_visual(page, 86, "B")
        assert ask(page, "What comes first?", 2) == {"A": "red circle", "B": "red circle"}
        costs = [cost.inner_text() for cost in page.query_selector_all(".turn:last-child .cost")]
        assert costs[0].startswith("254 visual")
        assert costs[1].startswith("86 visual")
        keep(page, tmp_path, "web-compare.png", full=True)
        page.click("#clear")
        page.wait_for_selector(".talk.empty")


def test_new_and_other_media_plan_anew(browser, nano_page):
    with opened(browser, nano_page, DESK) as page:
        upload(page, "scene.png")
        wait_for_visual(page, 191)
        first = figure(page, "prompt")
        for number in (1, 2):
            ask(page, "Where is the red circle?", number)
        page.wait_for_selector("#plan .next")
        page.wait_for_function(
            "text => document.querySelector('#plan [data-figure=prompt]').innerText.split(' ')[0] > text",
            arg=str(first),
        )
        page.click("#clear")
        page.wait_for_selector(".talk.empty")
        page.wait_for_selector("#plan .next", state="detached")
        assert figure(page, "prompt") == first
        ask(page, "Where is the red circle?", 1)
        page.wait_for_selector("#plan .next")
        upload(page, "sign.png")  # beside the first
        wait_for_visual(page, 191 + 53)
        page.wait_for_selector("#plan .next", state="detached")
        page.wait_for_timeout(500)
        both = figure(page, "prompt")
        page.reload()
        page.wait_for_selector(BOX)
        upload(page, "scene.png", "sign.png")
        wait_for_visual(page, 191 + 53)
        assert figure(page, "prompt") == both


def test_a_long_conversation_keeps_its_end_in_sight(browser, nano_page):
    with opened(browser, nano_page, DESK) as page:
        upload(page, "sign.png", "scene.png", "order.mp4")
        page.wait_for_selector("#strip svg")
        for number in range(1, 9):
            ask(page, "What does the text say?", number)
        for _ in range(2):  # at the top of the page, and after scrolling down to the dials
            for part in (".turn:last-child .answer", BOX, "#ask"):
                box = page.locator(part).bounding_box()
                assert 0 <= box["y"] <= 820 - box["height"]
            page.locator("#compare").scroll_into_view_if_needed()
            assert page.locator("#plan [data-figure=visual]").bounding_box()["y"] >= 0


def test_views_of_a_scene(browser, nano_page):
    with opened(browser, nano_page, DESK) as page:
        upload(page, *(f"room/view{number}.png" for number in (3, 1, 4, 2)))
        page.wait_for_selector("#as-views", state="visible")
        page.check("#as-views input")
        wait_for_strip(page, "4 views")
        assert ask(page, "What comes first?", 1) == {"A": "yellow star"}


def test_examples_are_a_click_away(browser, nano_page):
    with opened(browser, nano_page, DESK) as page:
        page.click("text=Room, four views")
        wait_for_strip(page, "4 views")
        assert page.input_value(BOX) == "What comes first?"
        page.click("#ask")
        page.wait_for_selector(".reply.done")
        assert page.inner_text(".answer") == "yellow star"
        assert not page.is_visible("#examples")
        page.click("#clear")
        page.wait_for_selector(".talk.empty")
        page.click("text=Which direction")
        wait_for_strip(page, "moving.mp4")
        page.click("#ask")
        page.wait_for_selector(".reply.done")
        assert page.inner_text(".answer") == "left"


def test_a_broken_file_is_one_sentence(browser, nano_page, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"this is no picture")
    with opened(browser, nano_page, DESK) as page:
        upload(page, tmp_path / "broken.png")
        page.wait_for_selector("#plan .sentence")
        sentence = page.inner_text("#plan .sentence")
        assert "'broken.png' is not a picture" in sentence
        assert "/" not in sentence
        submit(page, "What is it?")
        page.wait_for_selector(".reply.failed")
        assert "'broken.png'" in page.inner_text(".reply .sentence")
        assert "Traceback" not in page.content()
        assert page.input_value(BOX) == "What is it?"


def test_reading_can_be_stopped(browser, tmp_path):
    with av.open(str(tmp_path / "long.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 96
        noise = np.random.default_rng(0)
        for _ in range(1000):
            pixels = noise.integers(0, 256, (96, 96, 3), dtype=np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        file.mux(stream.encode())
    with served("--max-frames", "1000") as address, opened(browser, address, DESK) as page:
        upload(page, tmp_path / "long.mp4")
        page.wait_for_selector("#strip svg")
        page.fill("#frames-A input[type=number]", "1000")
        page.press("#frames-A input[type=number]", "Tab")
        wait_for_strip(page, "1000 frames")
        submit(page, "What comes first?")
        page.wait_for_function(
            "() => /reading \\d+ of 1000 frames/.test(document.querySelector('.reply')?.innerText)"
        )
        page.click("#stop")
        page.wait_for_selector(".reply.stopped")
        page.wait_for_selector("#ask", state="visible")
        assert "stopped" in page.inner_text(".cost")


def test_the_page_on_a_phone(browser, nano_page, tmp_path):
    with opened(browser, nano_page, PHONE) as page:
        assert not has_sideways_scroll(page)
        upload(page, "scene.png")
        wait_for_visual(page, 191)
        page.wait_for_selector("#strip svg")
        assert ask(page, "What is at the bottom left?", 1) == {"A": "blue square"}
        assert not has_sideways_scroll(page)
        page.evaluate("scrollTo(0, 0)")
        keep(page, tmp_path, "web-phone.png")
        page.click("#more-A button")
        page.check("#compare input")
        page.wait_for_selector("#dials-B", state="visible")
        page.wait_for_timeout(500)
        assert not has_sideways_scroll(page)


def test_a_closed_page_lets_go(browser):
    import uvicorn

    import oryx
    from oryx.web.handlers import Handlers
    from oryx.web.local import LocalAsker
    from oryx.web.planning import Limits, PagePlanner
    from oryx.web.server import bind, build_app, upload_folder

    model, processor = oryx.load("nano")
    plans = PagePlanner(processor.planner, processor)
    asker = LocalAsker(model, processor, plans)
    with bind("127.0.0.1", 0) as listener, upload_folder() as folder:
        app = build_app(Handlers(asker, plans, Limits()), folder)
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        with opened(browser, f"http://127.0.0.1:{listener.getsockname()[1]}", DESK) as page:
            upload(page, "scene.png")
            page.wait_for_selector("#strip svg")
            assert ask(page, "Where is the red circle?", 1) == {"A": "top right"}
            assert len(asker.owners) == 1
        give_up = time.monotonic() + 20
        while asker.owners and time.monotonic() < give_up:
            time.sleep(0.1)
        server.should_exit = True
        thread.join(20)
    assert asker.owners == []


def test_another_server_streams_and_stops(browser, tmp_path):
    words = tuple(f"word{number} " for number in range(300))
    (tmp_path / "key").write_text("secret\n")
    with (
        fake_openai(words, pause=0.05, key="secret") as server,
        served("--url", server.url, "--api-key-file", str(tmp_path / "key"), "--model", "nano") as address,
        opened(browser, address, DESK) as page,
    ):
        assert "tiny" in page.inner_text("#top")
        upload(page, "scene.png")
        wait_for_visual(page, 191)
        page.click("#compression-A >> text=4")
        submit(page, "Say a lot.")
        page.wait_for_selector(".reply.answering .answer")
        early = page.inner_text(".answer")
        page.wait_for_function(
            "early => document.querySelector('.answer').innerText.length > early.length", arg=early
        )
        page.click("#stop")
        page.wait_for_selector(".reply.stopped")
        assert server.has_left.wait(5)
        said = page.inner_text(".answer")
        assert said.startswith(early.strip())
        assert "word299" not in said
        server.words = ["red", " circle"]
        assert ask(page, "And now?", 2) == {"A": "red circle"}
        assert "7 visual · 11 prompt (3 kept) · 5 new tokens" in page.inner_text(".turn:last-child .cost")
    first, second = server.requests
    assert first["mm_processor_kwargs"] == {"compression": 4}
    assert [message["role"] for message in second["messages"]] == ["user"]  # what was stopped was not said


def test_new_while_an_answer_streams(browser):
    words = tuple(f"word{number} " for number in range(300))
    with fake_openai(words, pause=0.05) as server:
        address_with_password = server.url.replace("http://", "http://me:parole@")
        with (
            served("--url", address_with_password, "--model", "nano") as address,
            opened(browser, address, DESK) as page,
        ):
            assert server.url in page.inner_text("#top")
            assert "parole" not in page.content()
            upload(page, "scene.png")
            wait_for_visual(page, 191)
            submit(page, "Say a lot.")
            page.wait_for_selector(".reply.answering .answer")
            page.click("#clear")
            page.wait_for_selector(".talk.empty")
            assert server.has_left.wait(5)
            page.wait_for_selector("#ask", state="visible")
            page.wait_for_timeout(1000)
            assert page.is_visible(".talk.empty")
            server.words = ["red", " circle"]
            assert ask(page, "And now?", 1) == {"A": "red circle"}
            server.is_cut = True
            submit(page, "Once more?", 2)
            page.wait_for_selector(".turn:last-child .reply.failed")
            assert page.inner_text(".turn:last-child .answer").strip() == "red circle"
            assert "cut off" in page.inner_text(".turn:last-child .sentence")
    asked = [[message["content"] for message in request["messages"]] for request in server.requests]
    assert asked[1][0][-1]["text"] == "And now?"
    assert [len(contents) for contents in asked] == [1, 1, 3]
