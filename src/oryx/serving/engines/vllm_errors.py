"""vLLM's errors as this package's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oryx.errors import ConfigError
from oryx.serving.engine import EngineStopped


@contextmanager
def refusals(prefix: str = "", *further: type[Exception]) -> Iterator[None]:
    """Around calls of vLLM's: what it refuses is told in one sentence.

    Args:
        prefix: of the sentence.
        further: errors that are refusals here besides those that always are.

    Raises:
        ConfigError: it refuses what it was given.
        EngineStopped: it has died.
    """
    from vllm.exceptions import VLLMClientError
    from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

    refused = (ValueError, VLLMClientError, *further)
    try:
        yield
    except EngineDeadError as error:
        raise EngineStopped(_sentence(error) or "vLLM has died.") from None
    except EngineGenerateError as error:
        # It says nothing itself, and the engine goes on.
        cause = error.__cause__
        if isinstance(cause, refused):
            raise ConfigError(prefix + _sentence(cause)) from None
        raise (cause or error) from None
    except refused as error:
        raise ConfigError(prefix + _sentence(error)) from None


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split())
