"""What the page's events do, with plain values in and HTML out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock
from typing import Any

from oryx.cli.media import read_media
from oryx.errors import OryxError
from oryx.media.views import natural_key
from oryx.processing.forecast import Forecast
from oryx.processing.geometry import ResizeRule
from oryx.web.pictures import MOST_TILES, Pictures
from oryx.web.planning import Limits, Media, PagePlanner, Plan, without_folders
from oryx.web.render import conversation_html, note_html, plan_html, sentence_html, strip_html
from oryx.web.replies import BROKEN, Asker, Reply, Request, Turn, exchanges
from oryx.web.settings import NAMES, Settings, read_settings, values_by_name, widest_side

logger = logging.getLogger(__name__)

LANES = ("A", "B")
LONGEST_QUESTION = 4000
HINT = "Drop a picture, a video or a set of views, and ask."
NO_PLAN = "No plan: oryx web --model FOLDER tells the page how this model reads."


@dataclass(frozen=True)
class Form:
    """The page's values when an event happened."""

    media: Media
    question: str
    turns: tuple[Turn, ...]
    lanes: Mapping[str, Settings | str]
    """By lane; the sentence where a dial cannot be as it is."""


@dataclass(frozen=True)
class Progress:
    """A question on its way."""

    html: str
    turns: tuple[Turn, ...] | None = None
    """All turns, once it is over."""
    question: str = ""
    """What goes back into the box once it is over: a question that could not be answered."""


class Stops:
    """One event for each person, which ends what is being answered."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}
        self._lock = Lock()

    def begin(self, person: str) -> Event:
        """A new event; the one before is set."""
        with self._lock:
            before = self._events.get(person)
            self._events[person] = event = Event()
        if before is not None:
            before.set()
        return event

    def stop(self, person: str) -> None:
        """End what is being answered, if anything is; what was said until then stays."""
        with self._lock:
            event = self._events.get(person)
        if event is not None:
            event.set()

    def leave(self, person: str) -> None:
        """End what is being answered, and let nothing of it stay."""
        with self._lock:
            event = self._events.pop(person, None)
        if event is not None:
            event.set()

    def is_left(self, person: str, event: Event) -> bool:
        """Whether the person went on to something else than what `event` ends."""
        with self._lock:
            return self._events.get(person) is not event


class Handlers:
    """Plans, draws and asks for one page.

    Args:
        plans: None where nothing is known of the model's sizes.
    """

    def __init__(
        self, asker: Asker, plans: PagePlanner | None, limits: Limits, pictures: Pictures | None = None
    ) -> None:
        self.asker = asker
        self.plans = plans
        self.limits = limits
        self.pictures = pictures or Pictures()
        self.stops = Stops()
        self.widest = widest_side(self.rule)

    @property
    def rule(self) -> ResizeRule | None:
        """How the model's pictures are resized, as far as it is known."""
        return None if self.plans is None else self.plans.planner.rule

    def form(
        self,
        files: Sequence[str] | None,
        as_views: bool,
        question: str | None,
        compare: bool,
        turns: Sequence[Turn],
        values: Sequence[Any],
    ) -> Form:
        """Read the page; `values` are those of lane A's controls and then of lane B's."""
        paths = tuple(str(path) for path in files or ())
        if as_views and len(paths) > 1:
            paths = tuple(map(str, sorted(map(Path, paths), key=natural_key)))
        lanes: dict[str, Settings | str] = {}
        for index, lane in enumerate(LANES[: 2 if compare else 1]):
            named = values_by_name(values[index * len(NAMES) : (index + 1) * len(NAMES)])
            try:
                lanes[lane] = read_settings(named, self.widest, self.limits.max_frames)
            except OryxError as error:
                lanes[lane] = str(error)
        media = Media(paths, bool(as_views) and len(paths) > 1)
        return Form(media, (question or "").strip()[:LONGEST_QUESTION], tuple(turns or ()), lanes)

    def kinds(self, files: Sequence[str] | None) -> set[str]:
        """ "image" and "video", as far as the files can be read."""
        found = set()
        for path in files or ():
            try:
                found |= {visual["type"] for visual in read_media([str(path)], {})}
            except OryxError:
                continue  # the plan says what is wrong with it
        return found

    def plan(self, form: Form) -> str:
        """The numbers of each lane, or why there are none."""
        if not form.media.paths:
            return plan_html({})
        if self.plans is None:
            return note_html(NO_PLAN)
        plans = self._plans(form)
        return plan_html(
            {lane: plan.forecast if isinstance(plan, Plan) else plan for lane, plan in plans.items()},
            is_next=bool(form.turns),
        )

    def strip(self, form: Form) -> str:
        """What will be read, as pictures; empty where the plan says why it cannot be."""
        if not form.media.paths or self.plans is None:
            return strip_html({})
        plans = {lane: plan for lane, plan in self._plans(form).items() if isinstance(plan, Plan)}
        lanes: dict[str, tuple[Forecast, Any]] = {}
        try:
            for lane, plan in plans.items():
                lanes[lane] = (plan.forecast, self.pictures.tiles(plan, MOST_TILES // len(form.lanes)))
        except OryxError as error:
            return sentence_html(without_folders(str(error), form.media.paths))
        except Exception:
            logger.exception("the frames could not be drawn")
            return sentence_html(BROKEN)
        return strip_html(lanes)

    def _plans(self, form: Form) -> dict[str, Plan | str]:
        assert self.plans is not None
        plans: dict[str, Plan | str] = {}
        for lane, settings in form.lanes.items():
            if isinstance(settings, str):
                plans[lane] = settings
                continue
            try:
                earlier = exchanges(form.turns, lane)
                plans[lane] = self.plans.plan(form.media, settings, form.question, earlier)
            except OryxError as error:
                plans[lane] = str(error)
            except Exception:
                logger.exception("a plan could not be made")
                plans[lane] = BROKEN
        if len(plans) > 1 and len(set(map(str, plans.values()))) == 1 and isinstance(plans["A"], str):
            return {"A": plans["A"]}  # one broken file is no news twice
        return plans

    async def ask(self, form: Form, person: str) -> AsyncIterator[Progress]:
        """Ask in each lane, one after the other, so that neither slows the other down.

        The last progress is an empty conversation if the person has left this one in the meantime.
        """
        stop = self.stops.begin(person)
        turn = Turn(form.question, {lane: Reply(status="waiting") for lane in form.lanes})

        def shown(reply: Reply, lane: str) -> Turn:
            return replace(turn, replies={**turn.replies, lane: reply})

        yield Progress(conversation_html([*form.turns, turn]))
        try:
            for lane, settings in form.lanes.items():
                if isinstance(settings, str):
                    turn = shown(Reply("failed", status=settings), lane)
                    continue
                earlier = exchanges(form.turns, lane)
                request = Request(f"{person}/{lane}", form.media, settings, form.question, earlier)
                async with aclosing(self.asker.ask(request, stop)) as replies:
                    async for reply in replies:
                        turn = shown(reply, lane)
                        if not self.stops.is_left(person, stop):
                            yield Progress(conversation_html([*form.turns, turn]))
        finally:
            stop.set()
            is_left = self.stops.is_left(person, stop)
            if is_left:  # what the model kept while it was ending
                self.asker.forget(f"{person}/")
        if is_left:
            yield Progress(conversation_html((), HINT), ())
            return
        turns = (*form.turns, turn)
        failed = all(reply.state == "failed" for reply in turn.replies.values())
        yield Progress(conversation_html(turns), turns, form.question if failed else "")

    def restart(self, person: str) -> None:
        """Somebody begins another conversation about the same media."""
        self.stops.leave(person)

    def leave(self, person: str) -> None:
        """Somebody has closed the page, or changed the media."""
        self.stops.leave(person)
        self.asker.forget(f"{person}/")
