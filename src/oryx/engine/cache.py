"""Visual tokens that were made before: found again by content, dials, resize rule and model."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from oryx.engine.content import ContentHasher
from oryx.engine.encode import VisualTokens, encode_tokens
from oryx.errors import ConfigError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.processor import OryxProcessor
from oryx.processing.visuals import EncodedVisual, visual_dials, visual_type

DEFAULT_BYTES = 2**30
# Dials that write the prompt or the labels, and change no token.
_TEXT_DIALS = ("subtitles", "timestamps", "marks")

_serials: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
_next_serial = itertools.count()
_serials_lock = threading.Lock()


@dataclass(frozen=True)
class CacheStats:
    """What a cache did so far, and what it holds."""

    hits: int
    misses: int
    num_visuals: int
    num_bytes: int


class VisualTokenCache:
    """The visual tokens used last, in host memory up to `max_bytes`. Thread-safe; sessions may share one.

    A file that changed on disk is another file. Timestamps and subtitles are text of the prompt: they are
    made anew each time, so subtitles may change without the video being encoded again.

    Returned tensors are the cache's own on a CPU: do not write to them.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 0:
            raise ConfigError(f"max_bytes must be a whole number of at least 0, not {max_bytes!r}.")
        self.max_bytes = max_bytes
        self._hasher = ContentHasher()
        self._entries: OrderedDict[bytes, VisualTokens] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = self._misses = self._num_bytes = 0

    def encode(
        self,
        model: OryxForConditionalGeneration,
        processor: OryxProcessor,
        visual: Mapping[str, Any] | EncodedVisual,
        progress: Callable[[int, int], None] | None = None,
        check: Callable[[int], None] | None = None,
    ) -> VisualTokens:
        """What `engine.encode.encode_tokens` gives, found or made. `progress` is only called if it is made.

        Raises:
            ConfigError, MediaError: a dial or a source that cannot be.
        """
        key = self.key(model, processor, visual)
        found = None if key is None else self.get(key)
        if found is not None:
            if check:
                check(found.num_tokens)
            return replace(found, embeds=found.embeds.to(model.device))
        made = encode_tokens(model, processor, visual, progress=progress, check=check)
        # A file that was written to in the meantime is neither what was hashed nor what it is now.
        if key is not None and key == self.key(model, processor, visual):
            self.put(key, made)
        return made

    def key(
        self,
        model: OryxForConditionalGeneration,
        processor: OryxProcessor,
        visual: Mapping[str, Any] | EncodedVisual,
    ) -> bytes | None:
        """What the tokens depend on; None where that cannot be told, as for patches made elsewhere."""
        if isinstance(visual, EncodedVisual):
            return None
        dials = {name: value for name, value in visual_dials(visual).items() if name not in _TEXT_DIALS}
        try:
            settings = json.dumps([visual_type(visual), dials, processor.rule.to_dict()], sort_keys=True)
        except TypeError:  # a dial that is no plain value
            return None
        content = self._hasher.of_visual(visual)
        if content is None:
            return None
        identity = fingerprint(model.vision_tower, model.compressor, model.projector)
        return hashlib.blake2b(content + identity + settings.encode(), digest_size=32).digest()

    def get(self, key: bytes) -> VisualTokens | None:
        """The tokens under a key, which is then the one used last."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._misses += 1
            else:
                self._hits += 1
                self._entries.move_to_end(key)
            return entry

    def put(self, key: bytes, tokens: VisualTokens) -> None:
        """Keep tokens, and drop those not used for longest. What is larger than the cache is not kept."""
        embeds = tokens.embeds.detach().cpu()
        size = num_bytes(embeds)
        if size > self.max_bytes:
            return
        with self._lock:
            self._drop(key)
            self._entries[key] = replace(tokens, embeds=embeds)
            self._num_bytes += size
            while self._num_bytes > self.max_bytes:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget everything, for instance after weights were written through `.data`."""
        with self._lock:
            self._entries.clear()
            self._num_bytes = 0

    @property
    def stats(self) -> CacheStats:
        with self._lock:
            return CacheStats(self._hits, self._misses, len(self._entries), self._num_bytes)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._num_bytes -= num_bytes(entry.embeds)


def fingerprint(*modules: nn.Module) -> bytes:
    """(16,) bytes that change when a weight of the modules does, without reading the weights.

    A serial number tells objects apart (addresses are used again), each tensor's address tells weights that
    were replaced, moved or cast, and its version counts what was written to it: an optimiser's step,
    `load_state_dict`, `copy_`. Writing through `.data` is the one way past it.
    """
    parts: list[Any] = []
    for module in modules:
        with _serials_lock:
            serial = _serials.setdefault(module, next(_next_serial))
        parts.append((serial, [(tensor.data_ptr(), _version(tensor)) for tensor in module.parameters()]))
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()


def num_bytes(tensor: Tensor) -> int:
    """Bytes that a tensor keeps in memory, also where it shows only a part of them."""
    return tensor.untyped_storage().nbytes()


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version  # tensors of inference mode do not count
