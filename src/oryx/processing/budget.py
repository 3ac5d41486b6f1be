"""The planner: a request names what it may cost, and frames, areas and ratios are chosen so that it does.

`Planner.spend` turns visual dicts and a budget into visual dicts with every dial set. Command line, Python,
server and batch runner call it with the same request and get the same dials, since nothing but the request,
the files' headers and the model's numbers goes in. No pixel is decoded.

All visuals share one ceiling of tokens; each takes the richest rung of its ladder (see `ladder`) under it.
The highest ceiling whose whole plan keeps the budget is found by bisection, and what is left over is spent on
one visual after the other.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from oryx.errors import ConfigError
from oryx.processing.context import check_context
from oryx.processing.costs import ModelSizes
from oryx.processing.forecast import Forecast, VisualForecast, forecast_visual
from oryx.processing.geometry import ResizeRule
from oryx.processing.headers import Header, read_header
from oryx.processing.ladder import Rung, build_ladder, check_auto, settle
from oryx.processing.speed import Speed
from oryx.processing.visuals import EncodedVisual, visual_type

ALLOWED = 'visual tokens such as 4096, memory such as "2GB" or time such as "5s", several with commas between'
_AMOUNT = re.compile(r"(-?\d+(?:\.\d+)?)\s*([a-z]*)")
_BYTES = {"b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _BYTES |= {f"{_letter}b": 1000**_power, f"{_letter}ib": 1024**_power}
_SECONDS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "min": 60.0}
_TOKENS = {"": 1, "k": 1000, "tokens": 1, "t": 1}


@dataclass(frozen=True)
class Budget:
    """What a request may cost; None is no limit."""

    tokens: int | None = None
    """Visual tokens of all visuals together."""
    memory: int | None = None
    """Bytes of host memory at the peak, weights and program included."""
    seconds: float | None = None
    """From opening the media to the first word of the answer, with the model loaded."""

    def __post_init__(self) -> None:
        for field in fields(self):
            amount = getattr(self, field.name)
            if amount is None:
                continue
            is_number = isinstance(amount, int | float) and not isinstance(amount, bool)
            if not is_number or not 0 < amount < float("inf"):
                raise ConfigError(f"a budget of {amount!r} {field.name} is not above 0; allowed: {ALLOWED}.")

    @classmethod
    def parse(cls, value: Any) -> "Budget | None":
        """A budget as people write it: 4096, "2GB", "5s", "4096,5s", a dict, a list of these, or a `Budget`.

        Raises:
            ConfigError: anything else, or an amount that is not above 0.
        """
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            known = [field.name for field in fields(cls)]
            unknown = [key for key in value if key not in known]
            if unknown:
                raise ConfigError(f"a budget has no {unknown[0]!r}; the known ones are {', '.join(known)}.")
            read = {key: _amount(amount) for key, amount in value.items() if isinstance(amount, str)}
            for key, (name, _) in read.items():
                if name != key:
                    raise ConfigError(f"the budget of {key} cannot be {value[key]!r}; allowed: {ALLOWED}.")
            return cls(**{**value, **{key: amount for key, (_, amount) in read.items()}})
        parts = value if isinstance(value, list | tuple) else [value]
        amounts: dict[str, Any] = {}
        for written in itertools.chain(
            *(part.split(",") if isinstance(part, str) else [part] for part in parts)
        ):
            name, amount = _amount(written)
            if name in amounts:
                raise ConfigError(f"the budget {value!r} names {name} twice.")
            amounts[name] = amount
        if not amounts:
            raise ConfigError(f"the budget is empty; allowed: {ALLOWED}.")
        return cls(**amounts)

    def __str__(self) -> str:
        parts = []
        if self.tokens is not None:
            parts.append(f"{self.tokens:,} visual tokens")
        if self.memory is not None:
            parts.append(f"{self.memory / 1e9:.3g} GB of memory")
        if self.seconds is not None:
            parts.append(f"{self.seconds:.3g} s")
        return " and ".join(parts)


@dataclass(frozen=True)
class Planner:
    """Spends budgets for one model.

    Args:
        rule: the processor's resize rule.
        sizes: the model's numbers, which budgets of memory and time need.
        speed: the machine's, from its calibration, which budgets of time need.
    """

    rule: ResizeRule
    sizes: ModelSizes | None = None
    speed: Speed | None = None

    def spend(
        self,
        visuals: Sequence[Any],
        budget: Any = None,
        text_tokens: int = 0,
        new_tokens: int = 0,
        count_note: Callable[[str], int] | None = None,
    ) -> list[Any]:
        """The visuals with every dial set so that all of them keep the budget together.

        Without a budget, a visual with a focus costs at most what it would without one, a visual with
        `max_visual_tokens` at most that, and the others stay as they are.

        Args:
            visuals: visual dicts, or `EncodedVisual`, which is left as it is.
            budget: see `Budget.parse`.
            text_tokens: positions of the prompt besides the visuals.
            new_tokens: positions that the answer may take; both count against the model's context.
            count_note: positions of a note (timestamps, subtitles), which come on top.

        Raises:
            ConfigError: a budget that cannot be met, with the least that is possible; one of memory or time
                without the model's numbers.
            MediaError: a source that cannot be read.
        """
        limit = Budget.parse(budget)
        if limit is None:
            return [self._spend_alone(visual) for visual in visuals]
        self._check(limit)
        headers = [None if isinstance(visual, EncodedVisual) else read_header(visual) for visual in visuals]
        ladders = [_ladder(header, visual, self.rule) for header, visual in zip(headers, visuals)]
        num_notes = 0
        while True:
            settled = self._settle(limit, visuals, headers, ladders, text_tokens + num_notes, new_tokens)
            if count_note is None or not any(map(_has_note, visuals)):
                return settled
            # How long the notes are depends on what is chosen: fewer frames, shorter notes.
            notes = [_forecast(visual, self.rule, header).note for visual, header in zip(settled, headers)]
            needed = sum(count_note(note) for note in notes if note)
            if needed <= num_notes:
                return settled
            num_notes = needed

    def _settle(
        self,
        limit: Budget,
        visuals: Sequence[Any],
        headers: Sequence[Header | None],
        ladders: Sequence[Sequence[Rung]],
        text_tokens: int,
        new_tokens: int,
    ) -> list[Any]:
        """The visuals on the richest rungs that keep the budget."""
        room = self._room(text_tokens + new_tokens)

        def forecast(rungs: Sequence[Rung]) -> Forecast:
            settled = [_settled(h, visual, rung) for h, visual, rung in zip(headers, visuals, rungs)]
            return self.forecast(settled, text_tokens, headers)

        def excess(rungs: Sequence[Rung]) -> str:
            """What of the budget the rungs exceed, with what they cost; "" for nothing."""
            tokens = sum(rung.tokens for rung in rungs)
            if limit.tokens is not None and tokens > limit.tokens:
                return f"{tokens:,} visual tokens"
            if room is not None and tokens > room:
                return f"{tokens:,} visual tokens where the model's context leaves room for {max(room, 0):,}"
            if limit.memory is None and limit.seconds is None:
                return ""
            plan = forecast(rungs)
            if limit.memory is not None and plan.peak_memory_bytes > limit.memory:
                return f"{plan.peak_memory_bytes / 1e9:.3g} GB of memory"
            seconds = plan.seconds["total"] if limit.seconds is not None and plan.seconds else 0.0
            if limit.seconds is not None and seconds > limit.seconds:
                return f"{seconds:.3g} s"
            return ""

        chosen = _climb(ladders, excess)
        if chosen is None:
            least = excess([ladder[0] for ladder in ladders])
            raise ConfigError(
                f"a budget of {limit} cannot be met: the least possible for this request is {least}."
            )
        return [_settled(header, visual, rung) for header, visual, rung in zip(headers, visuals, chosen)]

    def forecast(
        self,
        visuals: Sequence[Any],
        text_tokens: int | None = None,
        headers: Sequence[Header | None] | None = None,
    ) -> Forecast:
        """What visuals cost whose budget is spent.

        Args:
            text_tokens: positions of the prompt besides the visuals; None counts the visuals alone.
            headers: of the visuals, if they were read already.
        """
        if self.sizes is None:
            raise ConfigError("a forecast needs the model's sizes: the processor must come from oryx.load.")
        given = headers or [None] * len(visuals)
        forecasts = tuple(_forecast(visual, self.rule, header) for visual, header in zip(visuals, given))
        tokens = sum(visual.num_tokens for visual in forecasts)
        prompt = None if text_tokens is None else tokens + text_tokens
        return Forecast(forecasts, self.sizes, prompt, self.speed)

    def check(self, plan: Forecast, new_tokens: int = 1) -> None:
        """Refuse a plan that is longer than the model's context.

        Raises:
            ConfigError: with the numbers.
        """
        if self.sizes is not None:
            check_context(plan.num_positions, new_tokens, self.sizes.context_length)

    def _spend_alone(self, visual: Any) -> Any:
        """A visual of a request without a budget: its focus and its own limit are what there is to keep."""
        if isinstance(visual, EncodedVisual):
            return visual
        visual_type(visual)
        most, focus = visual.get("max_visual_tokens"), visual.get("focus")
        is_settled = isinstance(visual.get("compression"), list | tuple)
        check_auto(visual)
        if most is None and (focus is None or is_settled):
            return visual
        header = read_header(visual)
        plain = {key: value for key, value in visual.items() if key not in ("max_visual_tokens", "focus")}
        usual = forecast_visual(plain, self.rule, header).num_tokens
        if focus is None and most is not None and usual <= most:
            return plain
        ladder = _ladder(header, visual, self.rule)
        # Of a focus alone, the least may cost a little more than the visual would without it.
        return settle(header, visual, _richest(ladder, usual) or ladder[0])

    def _room(self, taken: int) -> int | None:
        """Visual tokens that the model's context leaves beside `taken` positions; None without a limit."""
        if self.sizes is None or self.sizes.context_length is None:
            return None
        return self.sizes.context_length - taken

    def _check(self, budget: Budget) -> None:
        if budget.memory is None and budget.seconds is None:
            return
        if self.sizes is None:
            raise ConfigError(
                "a budget of memory or time needs the model's sizes: the processor must come from oryx.load."
            )
        if budget.seconds is None or self.speed is not None:
            return
        if self.sizes.quantize is not None:
            raise ConfigError("seconds are not forecast for quantised weights: give tokens or memory.")
        raise ConfigError(
            "a budget of time needs this machine's speed: run `oryx plan --calibrate` once, with the same "
            "--model, --dtype and --device."
        )


def _climb(ladders: Sequence[Sequence[Rung]], excess: Callable[[Sequence[Rung]], str]) -> list[Rung] | None:
    """The richest rungs that exceed nothing; None where even the lowest do."""
    chosen = [ladder[0] for ladder in ladders]
    if excess(chosen):
        return None

    def under(ceiling: int) -> list[Rung]:
        return [_richest(ladder, ceiling) or ladder[0] for ladder in ladders]

    low, high = 0, max((ladder[-1].tokens for ladder in ladders), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if excess(under(middle)):
            high = middle - 1
        else:
            low = middle
    chosen = under(low)
    for place, ladder in enumerate(ladders):  # what is left over
        first, last = ladder.index(chosen[place]), len(ladder) - 1
        while first < last:
            middle = (first + last + 1) // 2
            if excess([*chosen[:place], ladder[middle], *chosen[place + 1 :]]):
                last = middle - 1
            else:
                first = middle
        chosen[place] = ladder[first]
    return chosen


def _richest(ladder: Sequence[Rung], ceiling: int) -> Rung | None:
    low, high = 0, len(ladder)
    while low < high:
        middle = (low + high) // 2
        if ladder[middle].tokens <= ceiling:
            low = middle + 1
        else:
            high = middle
    return ladder[low - 1] if low else None


def _has_note(visual: Any) -> bool:
    return isinstance(visual, Mapping) and bool(visual.get("timestamps") or visual.get("subtitles"))


def _ladder(header: Header | None, visual: Any, rule: ResizeRule) -> list[Rung]:
    if header is None:
        return [Rung(visual.num_tokens, {})]
    ladder = build_ladder(header, visual, rule)
    most = visual.get("max_visual_tokens")
    kept = ladder if most is None else [rung for rung in ladder if rung.tokens <= most]
    if not kept:
        raise ConfigError(
            f"max_visual_tokens of {most:,} cannot be met: the least possible is {ladder[0].tokens:,}."
        )
    return kept


def _settled(header: Header | None, visual: Any, rung: Rung) -> Any:
    return visual if header is None else settle(header, visual, rung)


def _forecast(visual: Any, rule: ResizeRule, header: Header | None) -> VisualForecast:
    if isinstance(visual, EncodedVisual):
        largest = visual.views[-1]  # the source is gone: an image's native view, or a frame
        return VisualForecast(
            visual_type(visual), "encoded", largest.height, largest.width, visual.views, visual.note
        )
    return forecast_visual(visual, rule, header)


def _amount(part: Any) -> tuple[str, float]:
    """("tokens" | "memory" | "seconds", amount) of one limit."""
    if isinstance(part, int | float | np.number) and not isinstance(part, bool):
        part = str(part)
    match = _AMOUNT.fullmatch(part.strip().lower()) if isinstance(part, str) else None
    number, unit = (float(match[1]), match[2]) if match else (0.0, "?")
    if unit in _TOKENS and (number * _TOKENS[unit]).is_integer():
        return "tokens", int(number * _TOKENS[unit])
    if unit in _BYTES:
        return "memory", int(number * _BYTES[unit])
    if unit in _SECONDS:
        return "seconds", number * _SECONDS[unit]
    raise ConfigError(f"the budget {part!r} is not understood; allowed: {ALLOWED}.")
