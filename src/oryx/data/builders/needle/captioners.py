"""Who looks at the frames, and how often they are asked: anything with `describe`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oryx.data.builders.needle.answers import find_fault
from oryx.errors import CaptionError

MAX_WAIT = 60.0
"""Seconds: however long a server asks to wait."""


class Captioner(Protocol):
    """Describes pictures."""

    name: str
    """For the log."""
    workers: int
    """How many threads may call `describe` at once."""
    is_deterministic: bool
    """Asking again brings the same answer."""

    def describe(self, pictures: Sequence[bytes], prompt: str) -> str:
        """The answer to `prompt` about pictures (JPEG bytes).

        Raises:
            CaptionError: none came; another try may help.
            ConfigError: none will ever come: a wrong key, address or model.
        """
        ...


@dataclass(frozen=True)
class Attempt:
    """How a caption came, or why none did."""

    text: str | None
    tries: int
    faults: Counter[str]
    """Reason -> answers thrown away for it."""
    error: CaptionError | None = None


def caption(
    captioner: Captioner,
    pictures: Sequence[bytes],
    prompt: str,
    retries: int = 3,
    backoff: float = 1.0,
    stop: threading.Event | None = None,
) -> Attempt:
    """Ask until an answer will do, at most 1 + `retries` times.

    Args:
        backoff: seconds to wait before the second try; twice as long before each further one. A server that
            says how long to wait is obeyed, up to a minute.
        stop: ends the waiting, and gives up.

    Raises:
        ConfigError: as `Captioner.describe`.
    """
    stop = stop or threading.Event()
    faults: Counter[str] = Counter()
    error: CaptionError | None = None
    for turn in range(1, retries + 2):
        wait = backoff * 2 ** (turn - 1)
        try:
            text = captioner.describe(pictures, prompt).strip()
            fault = find_fault(text)
            if fault is None:
                return Attempt(text, turn, faults)
            error = CaptionError(f"{captioner.name} gave no caption ({fault}: {_shown(text)})", False)
            wait = 0.0  # it is there; it only has to try again
        except CaptionError as caught:
            error, fault = caught, caught.kind
            wait = wait if caught.wait is None else min(caught.wait, MAX_WAIT)
        faults[fault] += 1
        if turn > retries or (captioner.is_deterministic and not error.is_outage) or stop.wait(wait):
            break
    return Attempt(None, turn, faults, error)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else line[:57] + "...")
