"""One exception tree. Each message is one sentence: what is wrong, and what is allowed."""


class OryxError(Exception):
    """Base of everything that Oryx raises about its input. The command line exits with 2 on it."""

    is_echo = False
    """Raised because another process of the run raised it, which says it for all."""


class ConfigError(OryxError):
    """A setting, a dial or a recipe key that is unknown or out of range."""


class MediaError(OryxError):
    """A picture, a video or a folder of views that cannot be read."""


class AlignmentError(OryxError):
    """Visuals, their placeholders and their features do not belong together."""


class CheckpointError(OryxError):
    """A checkpoint with unknown, missing, misshapen or unsafe contents."""


class CaptionError(OryxError):
    """No caption came for one record: the captioner is out of reach (`is_outage`), or talks nonsense.

    `kind` is what it is counted as: "outage", "cut off", or "no answer" for anything else.
    """

    def __init__(
        self, message: str, is_outage: bool, wait: float | None = None, kind: str | None = None
    ) -> None:
        super().__init__(message)
        self.is_outage = is_outage
        self.kind = kind or ("outage" if is_outage else "no answer")
        self.wait = wait
        """Seconds that the server asks to wait."""


def raise_mismatch(where: object, unknown: list[str], missing: list[str], misshapen: list[str]) -> None:
    """Raise one sentence that lists the keys of `where`, if there are any.

    Raises:
        CheckpointError: some key is unknown, missing or misshapen.
    """
    problems = [
        f"{what} {', '.join(keys[:20])}{f' and {len(keys) - 20} more' if len(keys) > 20 else ''}"
        for what, keys in (
            ("unknown keys", unknown),
            ("missing keys", missing),
            ("misshapen keys", misshapen),
        )
        if keys
    ]
    if problems:
        raise CheckpointError(f"{where} does not fit its config: {'; '.join(problems)}.")
