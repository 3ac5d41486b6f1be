"""Sizes in bytes, as people write them."""

from __future__ import annotations

import re

from oryx.errors import ConfigError

_UNITS = {"": 1, "B": 1} | {
    f"{prefix}{unit}": base**power
    for power, prefix in enumerate("KMGT", start=1)
    for unit, base in (("B", 1000), ("IB", 1024))
}


def parse_bytes(text: str, option: str) -> int:
    """ "64MiB", "1.5GB" or a number of bytes, of at least one. Raises ConfigError for anything else."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)\s*([A-Za-z]*)", text.strip(), re.ASCII)
    size = int(float(match[1]) * _UNITS.get(match[2].upper(), 0)) if match else 0
    if size < 1:
        raise ConfigError(f"{option} is {text!r}; it must be a size such as 64MiB or 500MB.")
    return size
