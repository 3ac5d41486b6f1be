"""Where results are kept: a JSON for each arm and seed, and the folder of its training."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError
from oryx.evaluation.claims.arms import Arm, Measured
from oryx.evaluation.claims.plan import ARMS
from oryx.evaluation.claims.training import model_settings
from oryx.evaluation.output import write_text


@dataclass(frozen=True)
class ArmResult:
    """One arm of one seed."""

    arm: str
    seed: int
    settings: dict[str, Any]
    """See `Store.settings`."""
    measures: dict[str, Measured]
    model_sha256: str
    """Of the trained weights."""
    num_parameters: int
    minutes: float
    """Training and measuring, by the clock on the wall."""
    training_minutes: float
    versions: dict[str, str]
    inputs: dict[str, str] = field(default_factory=dict)
    """SHA-256 of what is no arm's: nano's weights, the settings of the rooms."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> ArmResult:
        """The result in what `to_json` gave. Raises KeyError or TypeError for anything else."""
        measures = {name: Measured(**measured) for name, measured in content["measures"].items()}
        return cls(**{**content, "measures": measures})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Store:
    """A folder of results."""

    folder: Path
    arms: dict[str, Arm]
    """Those of the plan, or shortened ones."""

    def settings(self, name: str, seed: int) -> dict[str, Any]:
        """The arm, the seed and its model, and those of the arms that it goes on from."""
        arm = self.arms[name]
        before = {need: self.settings(need, seed) for need in arm.needs}
        return {"arm": arm.settings(), "seed": seed, "model": model_settings(arm), "goes_on_from": before}

    def training_folder(self, name: str, seed: int) -> Path:
        """Where an arm is trained, and its weights stay."""
        return self.folder / "models" / f"{name}-seed{seed}"

    def file(self, name: str, seed: int) -> Path:
        """The JSON of an arm and a seed."""
        return self.folder / "arms" / f"{name}-seed{seed}.json"

    def read(self, name: str, seed: int) -> ArmResult | None:
        """What is measured of an arm, if it is.

        Raises:
            ConfigError: the file is of other settings, or cannot be read.
        """
        path = self.file(name, seed)
        try:
            result = ArmResult.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(
                f"{path} cannot be read as the result of an arm; remove it, or choose another --output."
            ) from None
        other = differences(result.settings, self.settings(name, seed))
        if other:
            raise ConfigError(
                f"{path} holds results of other settings ({', '.join(other[:3])}); choose another --output."
            )
        return result

    def begin(self, name: str, seed: int) -> None:
        """Note beside a training's folder what is trained there.

        Raises:
            ConfigError: a training of other settings was begun there.
        """
        path = self.training_folder(name, seed).with_suffix(".json")
        own = self.settings(name, seed)
        try:
            other = differences(json.loads(path.read_text(encoding="utf-8")), own)
        except FileNotFoundError:
            other = []
        except (OSError, ValueError):
            other = ["unreadable"]
        if other:
            raise ConfigError(
                f"{path.with_suffix('')} holds a training of other settings ({', '.join(other[:3])}); choose "
                "another --output."
            )
        write_text(path, json.dumps(own, indent=1) + "\n")

    def write(self, result: ArmResult) -> Path:
        """Keep a result.

        Raises:
            ConfigError: one of other settings would be lost, or one of other weights, with which other arms
                may have begun.
        """
        before = self.read(result.arm, result.seed)
        if before is not None and before.model_sha256 != result.model_sha256:
            raise ConfigError(
                f"{result.arm} of seed {result.seed}, whose weights were gone, came out with other weights "
                f"than those that {self.file(result.arm, result.seed)} measured (versions then: "
                f"{before.versions}; now: {result.versions}); choose another --output."
            )
        text = json.dumps(result.to_json(), indent=1) + "\n"
        return write_text(self.file(result.arm, result.seed), text)

    def read_all(self, names: Sequence[str], seeds: Sequence[int]) -> dict[tuple[str, int], ArmResult]:
        """What is measured by now.

        Raises:
            ConfigError: see `read`; or arms were given different rooms, or different weights of nano.
        """
        found: dict[tuple[str, int], ArmResult] = {}
        inputs: dict[str, tuple[str, Path]] = {}
        for name, seed in ((name, seed) for seed in seeds for name in names):
            result = self.read(name, seed)
            if result is None:
                continue
            found[name, seed] = result
            file = self.file(name, seed)
            for what, digest in result.inputs.items():
                other, there = inputs.setdefault(what, (digest, file))
                if other != digest:
                    raise ConfigError(
                        f"{there} and {file} were measured with different {what}; remove one of them."
                    )
        return found

    @property
    def seeds(self) -> list[int]:
        """Of which anything is measured."""
        names = "|".join(map(re.escape, self.arms))
        form = re.compile(rf"(?:{names})-seed(\d+)\.json")
        found = (form.fullmatch(file.name) for file in self.folder.glob("arms/*"))
        return sorted({int(match[1]) for match in found if match})


def planned(quick: bool) -> dict[str, Arm]:
    """The arms of the plan, or the same ones much shorter."""
    return {name: arm.shortened(QUICK_STEPS, QUICK_QUESTIONS) if quick else arm for name, arm in ARMS.items()}


QUICK_STEPS, QUICK_QUESTIONS = 0.06, 50
"""Share of the steps, and questions of a measure, with --quick."""


def differences(there: Any, own: Any, path: str = "") -> list[str]:
    """Dotted keys at which two nested settings differ."""
    if isinstance(there, dict) and isinstance(own, dict):
        return [
            key
            for name in sorted({*there, *own})
            for key in differences(there.get(name), own.get(name), f"{path}.{name}" if path else name)
        ]
    return [] if there == own else [path]
