"""What Prometheus reads: counts, times and sizes, never contents."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The numbers of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter(
            "requests", "Requests answered, by endpoint and HTTP status.", "endpoint", "status"
        )
        self.prompt_tokens = self._counter("prompt_tokens", "Positions of prompts, visual tokens included.")
        self.visual_tokens = self._counter("visual_tokens", "Visual tokens of prompts.")
        self.generated_tokens = self._counter("generated_tokens", "Tokens of answers.")
        self.first_token = self._histogram(
            "time_to_first_token_seconds", "From a request's headers to its first token."
        )
        self.request_seconds = self._histogram("request_seconds", "From a chat request's headers to its end.")
        self.encode_seconds = self._histogram("encode_seconds", "From media in memory to a prompt.")

    def watch(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A gauge that asks `read` whenever it is looked at."""
        Gauge(f"oryx_{name}", help_text, registry=self.registry).set_function(read)

    def render(self) -> bytes:
        """The text that Prometheus takes."""
        return generate_latest(self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"oryx_{name}", help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str) -> Histogram:
        return Histogram(f"oryx_{name}", help_text, buckets=_SECONDS, registry=self.registry)
