"""The page: what is where, and which event does what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from oryx.web.controls import OF_VIDEOS, make_dials
from oryx.web.examples import Example
from oryx.web.handlers import HINT, LANES, LONGEST_QUESTION, Handlers
from oryx.web.render import conversation_html, lane_html, plan_html, strip_html
from oryx.web.settings import NAMES

CLEAN_EVERY, UPLOAD_AGE = 600, 6 * 3600  # seconds
_SETTING = '<p class="setting">{}{} setting</p>'
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# Answers alone come as a stream. Gradio's client closes it when nothing is pending, and loses an event that
# joins at that moment, so that nothing else may use it.
_DIRECT: dict[str, Any] = {**_QUIET, "queue": False}


def build_page(
    handlers: Handlers, examples: Sequence[tuple[Example, tuple[str, ...]]] = (), where: str = ""
) -> gr.Blocks:
    """The page's Blocks.

    Args:
        examples: with the paths of their files, in the folder of uploads.
        where: what answers, for people: "" for this process.
    """
    page = gr.Blocks(
        title="Oryx", analytics_enabled=False, delete_cache=(CLEAN_EVERY, UPLOAD_AGE), fill_width=True
    )
    with page:
        turns = gr.State(())
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=5, min_width=320, elem_id="media-side"):
                name = escape(Path(handlers.asker.model_name).name or handlers.asker.model_name)
                gr.HTML(
                    f'<header class="top"><h1>oryx</h1><p>{name}{escape(where)}</p></header>', elem_id="top"
                )
                files = gr.File(
                    file_count="multiple",
                    file_types=["image", "video"],
                    label="Pictures, a video, or views of a scene",
                    show_label=False,
                    height=110,
                    allow_reordering=True,
                    elem_id="files",
                )
                as_views = gr.Checkbox(
                    False, label="These pictures are views of one scene", visible=False, elem_id="as-views"
                )
                strip = gr.HTML(strip_html({}), elem_id="strip")
                plan = gr.HTML(plan_html({}), elem_id="plan")
                dials = {}
                with gr.Group(elem_id="dials"):
                    with gr.Row():
                        with gr.Column(min_width=0, elem_id="dials-A", elem_classes="dials"):
                            first = gr.HTML(_SETTING.format(lane_html("A"), "First"), visible=False)
                            dials["A"] = make_dials("A", handlers.rule, handlers.limits.max_frames)
                        with gr.Column(
                            min_width=0, visible=False, elem_id="dials-B", elem_classes="dials"
                        ) as second:
                            gr.HTML(_SETTING.format(lane_html("B"), "Second"))
                            dials["B"] = make_dials("B", handlers.rule, handlers.limits.max_frames)
                    compare = gr.Checkbox(False, label="Compare with a second setting", elem_id="compare")
            with gr.Column(scale=6, min_width=320, elem_id="talk-side"):
                talk = gr.HTML(conversation_html((), HINT), elem_id="talk")
                shown = []
                if examples:
                    with gr.Row(elem_id="examples"):
                        for example, paths in examples:
                            button = gr.Button(
                                f"{example.label} · {example.question}",
                                size="sm",
                                scale=0,
                                min_width=120,
                                elem_classes="example",
                            )
                            shown.append((button, example, paths))
                            files.keep_in_cache.update(paths)  # they do not age as uploads do
                with gr.Row(elem_id="ask-row"):
                    question = gr.Textbox(
                        placeholder="Ask about it",
                        show_label=False,
                        container=False,
                        lines=1,
                        max_lines=6,
                        max_length=LONGEST_QUESTION,
                        scale=1,
                        min_width=120,
                        elem_id="question",
                    )
                    ask = gr.Button("Ask", variant="primary", size="md", scale=0, min_width=76, elem_id="ask")
                    stop = gr.Button("Stop", size="md", scale=0, min_width=76, visible=False, elem_id="stop")
                    clear = gr.Button("New", size="md", scale=0, min_width=64, elem_id="clear")
        values = [dials[lane][name] for lane in LANES for name in NAMES]
        inputs = [files, as_views, question, compare, turns, *values]
        of_videos = [dials[lane][name] for lane in LANES for name in OF_VIDEOS]

        def show_plan(*given: Any) -> str:
            return handlers.plan(_form(handlers, given))

        def show_strip(*given: Any) -> str:
            return handlers.strip(_form(handlers, given))

        def change_media(paths: list[str] | None, request: gr.Request) -> list[Any]:
            handlers.leave(_person(request))
            kinds = handlers.kinds(paths)
            several = bool(paths) and len(paths or ()) > 1 and kinds == {"image"}
            views = gr.Checkbox(visible=several) if several else gr.Checkbox(False, visible=False)
            frames = [gr.update(visible="video" in kinds)] * len(of_videos)
            return [views, *frames, (), conversation_html((), HINT)]

        def forget(request: gr.Request) -> tuple[Any, str]:
            handlers.restart(_person(request))
            return (), conversation_html((), HINT)

        def halt(request: gr.Request) -> None:
            handlers.stops.stop(_person(request))

        def leave(request: gr.Request) -> None:
            handlers.leave(_person(request))

        async def answer(request: gr.Request, *given: Any) -> AsyncIterator[list[Any]]:
            form = _form(handlers, given)
            if not form.question:
                gr.Info("Write a question first.", duration=4, title="")
                yield [gr.skip()] * 5
                return
            busy = [gr.update(visible=False), gr.update(visible=True)]
            # The box is free for the next question while this one is answered.
            yield [gr.skip(), gr.skip(), "", *busy]
            async for progress in handlers.ask(form, _person(request)):
                if progress.turns is None:
                    yield [progress.html, gr.skip(), gr.skip(), *busy]
                else:
                    ready = [gr.update(visible=True), gr.update(visible=False)]
                    left = progress.question or gr.skip()
                    yield [progress.html, progress.turns, left, *ready]

        planning: dict[str, Any] = {**_DIRECT, "trigger_mode": "always_last"}

        def plan_after(event: Any) -> None:
            event.then(show_plan, inputs, [plan], **planning).then(show_strip, inputs, [strip], **planning)

        # Plans count the conversation, which new media and New end: they come after, not beside.
        plan_after(files.change(change_media, [files], [as_views, *of_videos, turns, talk], **_DIRECT))
        plan_after(clear.click(forget, None, [turns, talk], **_DIRECT))
        compare.change(lambda on: [gr.update(visible=on)] * 2, [compare], [first, second], **_DIRECT)
        moved = [as_views.change, compare.change, *(value.change for value in values)]
        gr.on(moved, show_plan, inputs, [plan], **planning).then(show_strip, inputs, [strip], **planning)
        question.change(show_plan, inputs, [plan], **planning)
        outputs = [talk, turns, question, ask, stop]
        asked = [ask.click, question.submit]
        plan_after(
            gr.on(asked, answer, inputs, outputs, **_QUIET, trigger_mode="once", concurrency_limit=None)
        )
        stop.click(halt, None, None, **_DIRECT)
        for button, example, paths in shown:
            button.click(
                lambda paths=paths, example=example: (list(paths), example.as_views, example.question),
                None,
                [files, as_views, question],
                **_DIRECT,
            )
        page.unload(leave)
    return page


def _form(handlers: Handlers, given: Sequence[Any]) -> Any:
    paths, as_views, question, compare, turns, *values = given
    return handlers.form(paths, as_views, question, compare, turns, values)


def _person(request: gr.Request) -> str:
    """Each open page is a person of its own."""
    return str(request.session_hash)
