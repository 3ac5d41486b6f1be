"""Questions and replies, as they are kept and shown."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Literal, Protocol

from oryx.web.planning import Exchange, Media
from oryx.web.settings import Settings

BROKEN = "something went wrong here; the log of oryx web has the details."
"""What people read of an error that is not theirs."""

State = Literal["waiting", "answering", "done", "stopped", "failed"]


@dataclass(frozen=True)
class Reply:
    """An answer as far as it has come."""

    state: State = "waiting"
    text: str = ""
    status: str = ""
    """What is being done before the first word, or why there is no answer."""
    visual_tokens: int | None = None
    prompt_tokens: int | None = None
    kept_tokens: int | None = None
    """Positions of the prompt that did not have to be read again."""
    new_tokens: int | None = None
    seconds: float | None = None
    """From asking to the end, waiting in line left out."""
    first_seconds: float | None = None
    """Until the first word."""
    is_cut_off: bool = False
    """The longest answer that was allowed ended it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "stopped", "failed")


@dataclass(frozen=True)
class Turn:
    """One question and its replies, by lane: "A", and "B" where two settings are compared."""

    question: str
    replies: Mapping[str, Reply] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """All that it takes to answer one question."""

    owner: str
    """Who asks in which lane: requests of one owner go on from one another."""
    media: Media
    settings: Settings
    question: str
    earlier: tuple[Exchange, ...] = ()


class Asker(Protocol):
    """Answers questions, in this process or elsewhere."""

    model_name: str

    def ask(self, request: Request, stop: Event) -> AsyncGenerator[Reply, None]:
        """The reply as it grows; the last one is "done", "stopped" or "failed". Setting `stop` ends it."""

    def forget(self, owner: str) -> None:
        """Let go of what is kept for owners whose names begin so."""


def exchanges(turns: Sequence[Turn], lane: str) -> tuple[Exchange, ...]:
    """What a lane's next question goes on from: finished answers, lane A's where it has none of its own."""
    found: list[Exchange] = []
    for turn in turns:
        reply = turn.replies.get(lane) or turn.replies.get("A")
        if reply is not None and reply.state == "done":
            found.append((turn.question, reply.text))
    return tuple(found)
