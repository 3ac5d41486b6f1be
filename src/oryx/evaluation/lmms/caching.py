"""lmms-eval's response cache."""

from __future__ import annotations


def forget_log() -> None:
    """Keep lmms-eval from filling its cache out of its log when a run starts again.

    Its log holds every response, those too that the cache refuses: answers that are empty because media were
    missing, and pairs, which it gives back as lists. Nothing is lost, since each answer that it takes is
    committed before the next one is made.
    """
    from lmms_eval.caching.response_cache import ResponseCache

    ResponseCache._replay_audit_log = lambda self: None
