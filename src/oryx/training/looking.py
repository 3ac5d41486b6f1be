"""What is there of a recipe's data, seen without reading a record."""

from __future__ import annotations

from dataclasses import dataclass

from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.data.synthetic import SKILLS, make_source
from oryx.data.synthetic.settings import parse_settings
from oryx.errors import ConfigError, OryxError
from oryx.training.sections.data import DataSection, SyntheticSection


@dataclass(frozen=True)
class SourceState:
    """One source of a recipe's data."""

    title: str
    """What a sentence calls it."""
    format: str
    share: float | None
    """Of the samples; None where the number of records decides."""
    licence: str
    num_records: int | None
    """None where it cannot be read."""
    problems: tuple[str, ...] = ()
    """Why it cannot be read, or why some of its skills cannot; no full stops."""
    skills: tuple[str, ...] = ()
    """Of synthetic samples."""


def look_at_data(data: DataSection) -> tuple[SourceState, ...]:
    """What is there of a recipe's data. Sources are opened and their records counted, no media are.

    Raises:
        ConfigError: synthetic samples of a skill or setting that does not exist.
    """
    weights = [source.weight for source in data.used_sources]
    if data.synthetic is not None:
        weights.append(data.synthetic.weight)
    total = sum(weight or 0.0 for weight in weights)
    states = [
        _look_at(source, source.weight / total if source.weight else None) for source in data.used_sources
    ]
    if data.synthetic is not None and data.draws:
        share = data.synthetic.weight / total if data.synthetic.weight else 1.0
        states.append(_look_at_synthetic(data.synthetic, share))
    return tuple(states)


def _look_at(settings: SourceSettings, share: float | None) -> SourceState:
    format_, licence = settings.format or "guessed", settings.licence
    try:
        return SourceState(settings.title, format_, share, licence, len(open_source(settings)))
    except OryxError as error:
        return SourceState(settings.title, format_, share, licence, None, (str(error).rstrip("."),))


def _look_at_synthetic(section: SyntheticSection, share: float) -> SourceState:
    lacking: dict[str, list[str]] = {}  # why samples cannot be drawn -> of which skills
    for name, given in section.skills.items():
        if name not in SKILLS:
            make_source({name: given}, seed=0)  # says which there are
        settings = {key: value for key, value in given.items() if key != "weight"}
        parse_settings(SKILLS[name][0], name, settings)
        try:
            make_source({name: given}, section.seed)
        except ConfigError as error:  # the settings are right, so fonts or a store of pictures are not there
            lacking.setdefault(str(error).rstrip("."), []).append(name)
    problems = tuple(f"{', '.join(names)}: {reason}" for reason, names in lacking.items())
    return SourceState("synthetic samples", "drawn", share, "", None, problems, tuple(section.skills))
