"""What reaches stderr: errors, our own warnings as one line each, and nothing of the libraries."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def complain(text: str) -> None:
    """One line on stderr."""
    print("oryx: " + " ".join(text.split()), file=sys.stderr)


class _Once(logging.Filter):
    """A file is opened for the plan and once more to be read: what is wrong with it is said once."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_new = message not in self.said
        self.said.add(message)
        return is_new


@contextmanager
def quiet(debug: bool) -> Iterator[None]:
    """Inside, libraries are silent and warnings of Oryx are one line each; with `debug` all is shown."""
    ours, root, silence = logging.getLogger("oryx"), logging.getLogger(), logging.NullHandler()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("oryx: %(message)s"))
    handler.addFilter(_Once())
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not debug:
                # A handler that drops everything keeps Python from printing what nobody handles.
                root.addHandler(silence)
                warnings.simplefilter("ignore")
                warnings.filterwarnings("default", module=r"oryx\.")
                warnings.showwarning = lambda message, *_: complain(str(message))
            yield
    finally:
        root.removeHandler(silence)
        ours.removeHandler(handler)
        ours.setLevel(level)


def quiet_transformers() -> None:
    """`transformers` sets up its own logging when it is imported, so it is told afterwards."""
    if not logging.getLogger("oryx").isEnabledFor(logging.DEBUG):
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
