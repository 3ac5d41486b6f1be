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
        """Refuse one medium that is, or would become, larger than there is room for.

        Raises:
            RequestError: 413.
        """
        if num_bytes > self._most:
            raise RequestError(
                f"a picture or video is larger than {self._most:,} bytes, which are allowed for each.",
                status=413,
                code="media_too_large",
                param="messages",
            )
        if self._taken + num_bytes > self._total:
            raise RequestError(
                f"the media of the request are together larger than the {self._total:,} bytes allowed.",
                status=413,
                code="media_too_large",
                param="messages",
            )

    def take(self, num_bytes: int) -> None:
        """Count a medium that is there in full; errors as `check`."""
        self.check(num_bytes)
        self._taken += num_bytes
