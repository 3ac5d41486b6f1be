"""How many bytes the media of a request may still take."""

from __future__ import annotations

from oryx.serving.errors import RequestError
from oryx.serving.media.policy import MediaPolicy


class Room:
    """Counts down over all media of a request, while they arrive."""

    def __init__(self, policy: MediaPolicy) -> None:
        self._most, self._total = policy.max_bytes, policy.max_total_bytes
        self._taken = 0

    def check(self, num_bytes: int) -> None:
        """Refuse a medium of so many bytes before they are there; errors as `take`."""
        self._check(num_bytes, num_bytes)

    def take(self, num_bytes: int, before: int = 0) -> None:
        """Count bytes that have arrived.

        Args:
            before: bytes of the same medium that were counted already.

        Raises:
            RequestError: 413, the medium or all of the request's media are larger than allowed.
        """
        self._check(before + num_bytes, num_bytes)
        self._taken += num_bytes

    def _check(self, of_medium: int, new: int) -> None:
        if of_medium > self._most:
            raise _refusal(f"a picture or video is larger than the {self._most:,} bytes allowed for each.")
        if self._taken + new > self._total:
            raise _refusal(f"the media of the request are larger than the {self._total:,} bytes allowed.")


def _refusal(message: str) -> RequestError:
    return RequestError(message, status=413, code="media_too_large", param="messages")
