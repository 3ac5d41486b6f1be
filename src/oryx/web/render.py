"""Plans, pictures and conversations as HTML. Everything that people or models wrote is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from oryx.processing.forecast import Forecast, VisualForecast
from oryx.processing.geometry import REGIONS
from oryx.web.pictures import Tile
from oryx.web.replies import Reply, Turn

_HEADINGS = ("visual tokens", "prompt tokens", "memory", "first word")
_CALIBRATE = "Seconds are shown once this machine was measured: oryx plan --calibrate"
_ABOUT = '<small class="approx">about </small>'
_NARROW = "\u00a0"  # a number and its unit stay on one line
_MARKS = "Marks: the end of each row, what stands between views or frames, and begin and end"
_DENSEST = 40  # grid lines of one view above which they are drawn fainter


def lane_html(lane: str) -> str:
    """The badge of a lane, in its color."""
    return f'<b class="lane" data-lane="{escape(lane)}">{escape(lane)}</b>'


def plan_html(plans: Mapping[str, Forecast | str], is_next: bool = False) -> str:
    """The numbers of each lane's plan, or the sentence why there is none.

    Args:
        plans: by lane; a sentence where it cannot be.
        is_next: the plan is that of a question behind others, whose own numbers the page shows too.
    """
    if not plans:
        return '<div class="plan"></div>'
    named = len(plans) > 1
    head = "".join(f"<span>{heading}</span>" for heading in _HEADINGS)
    rows = [f'<div class="row head">{"<span></span>" if named else ""}{head}</div>']
    for lane, plan in plans.items():
        name = lane_html(lane) if named else ""
        if isinstance(plan, str):
            rows.append(f'<div class="row">{name}{sentence_html(plan)}</div>')
        else:
            rows.append(f'<div class="row" data-lane="{escape(lane)}">{name}{_figures(plan)}</div>')
    if not named and isinstance(next(iter(plans.values())), str):
        rows = rows[1:]
    measured = any(isinstance(plan, str) or plan.seconds is not None for plan in plans.values())
    note = "" if measured else note_html(_CALIBRATE)
    title = '<p class="next">Next question</p>' if is_next else ""
    return f'<div class="plan{" named" if named else ""}">{title}{"".join(rows)}{note}</div>'


def _figures(plan: Forecast) -> str:
    prompt = f"{plan.num_positions:,}"
    if plan.sizes.context_length is not None:
        prompt = f"{prompt}<small> of {plan.sizes.context_length:,}</small>"
    if plan.seconds is not None:
        seconds = f"<b>{_ABOUT}{duration(plan.seconds['total'])}</b>"
    else:
        seconds = "<b>&ndash;</b>"
    return (
        f'<b data-figure="visual">{plan.num_visual_tokens:,}</b><b data-figure="prompt">{prompt}</b>'
        f'<b data-figure="memory">{_ABOUT}{_bytes(plan.peak_memory_bytes)}</b>{seconds}'
    )


def sentence_html(text: str) -> str:
    """One sentence about what cannot be."""
    return f'<p class="sentence" role="alert">{escape(_capital(text))}</p>'


def note_html(text: str) -> str:
    """A quiet line."""
    return f'<p class="note">{escape(text)}</p>'


def strip_html(lanes: Mapping[str, tuple[Forecast, Sequence[Sequence[Tile]]]]) -> str:
    """The frames that will be read, with the grid of visual tokens over each."""
    parts = []
    for lane, (forecast, visuals) in lanes.items():
        name = lane_html(lane) if len(lanes) > 1 else ""
        for visual, tiles in zip(forecast.visuals, visuals):
            about = f'<span title="{_MARKS}">{escape(_about(visual, tiles))}</span>'
            head = f'<p class="about">{name}{about}</p>'
            differ = len({_details(tile) for tile in tiles}) > 1
            drawn = "".join(_tile(tile, differ) for tile in tiles)
            many = " many" if len(tiles) > 2 else ""
            parts.append(
                f'<div class="visual" data-lane="{escape(lane)}">{head}'
                f'<div class="tiles{many}">{drawn}</div></div>'
            )
        missing = len(forecast.visuals) - len(visuals)
        if missing > 0:
            parts.append(note_html(f"and {missing} more"))
    return f'<div class="strip">{"".join(parts)}</div>'


def _about(visual: VisualForecast, tiles: Sequence[Tile]) -> str:
    """Name, how many, size and grid if all share them, ratio and tokens."""
    ratio = visual.compression
    ratio_text = f"{ratio}x" if isinstance(ratio, int) else f"{min(ratio)}x to {max(ratio)}x"
    parts = [visual.name]
    if visual.kind != "image":
        name = "views" if visual.kind == "views" else "keyframes" if visual.keyframes else "frames"
        shown = f" ({len(tiles)} shown)" if len(tiles) < visual.num_frames else ""
        parts.append(f"{visual.num_frames} {name}{shown}")
    details = {_details(tile) for tile in tiles}
    if len(details) == 1:
        parts += details.pop()
    in_grids = sum(rows * columns for rows, columns in (view.token_grid for view in visual.views))
    tokens = f"{in_grids:,} + {visual.num_tokens - in_grids:,} marks = {visual.num_tokens:,} tokens"
    return " · ".join([*parts, ratio_text, tokens])


def _details(tile: Tile) -> tuple[str, str]:
    rows, columns = tile.view.token_grid
    grid = f"{rows}x{columns} tokens" if tile.has_grid else "ratio found while reading"
    return f"{tile.view.height}x{tile.view.width} px", grid


def _tile(tile: Tile, with_details: bool) -> str:
    view = tile.view
    rows, columns = view.token_grid
    grid = ""
    if tile.has_grid:
        height, width = (side * view.height // view.grid[0] for side in REGIONS[view.compression])
        lines = [f"M{x * width} 0V{view.height}" for x in range(1, columns)]
        lines += [f"M0 {y * height}H{view.width}" for y in range(1, rows)]
        faint = " faint" if rows + columns > _DENSEST else ""
        grid = f'<path class="grid{faint}" d="{"".join(lines)}" vector-effect="non-scaling-stroke"/>'
    details = _details(tile)
    label = escape(" ".join((tile.caption, *details)))
    crisp = ' class="crisp"' if max(view.height, view.width) < 200 else ""
    words = [tile.caption, *(details if with_details else ())]
    caption = escape(" · ".join(word for word in words if word))
    return (
        f'<figure style="--ratio:{view.width / view.height:.4f}">'
        f'<svg viewBox="0 0 {view.width} {view.height}" role="img" aria-label="{label}">'
        f'<image href="{tile.address}" width="{view.width}" height="{view.height}" '
        f'preserveAspectRatio="none"{crisp}/>{grid}</svg><figcaption>{caption}</figcaption></figure>'
    )


def conversation_html(turns: Sequence[Turn], hint: str = "") -> str:
    """Questions and replies; those of two lanes side by side."""
    if not turns:
        return f'<div class="talk empty"><p>{escape(hint)}</p></div>'
    return f'<div class="talk">{"".join(map(_turn, turns))}</div>'


def _turn(turn: Turn) -> str:
    named = len(turn.replies) > 1
    replies = "".join(_reply(reply, lane if named else "") for lane, reply in turn.replies.items())
    return (
        f'<section class="turn"><p class="question">{escape(turn.question)}</p>'
        f'<div class="replies">{replies}</div></section>'
    )


def _reply(reply: Reply, lane: str) -> str:
    name = lane_html(lane) if lane else ""
    body = f'<p class="answer" dir="auto">{escape(reply.text)}</p>' if reply.text else ""
    if reply.state == "failed":
        body += sentence_html(reply.status)
    elif not reply.is_over and not reply.text:
        body += f'<p class="note waiting">{escape(reply.status or "reading the prompt")}</p>'
    elif reply.state == "done" and not reply.text:
        body += note_html("the model said nothing")
    cost = cost_text(reply)
    foot = f'<p class="cost">{escape(cost)}</p>' if cost else ""
    return f'<div class="reply {reply.state}" data-lane="{escape(lane or "A")}">{name}{body}{foot}</div>'


def cost_text(reply: Reply) -> str:
    """What a reply took, as in `120 visual · 134 prompt · 3 new tokens · 0.2 s, first word 0.1 s`."""
    parts = []
    if reply.visual_tokens is not None and reply.is_over:
        parts.append(f"{reply.visual_tokens:,} visual")
    if reply.prompt_tokens is not None:
        kept = f" ({reply.kept_tokens:,} kept)" if reply.kept_tokens else ""
        parts.append(f"{reply.prompt_tokens:,} prompt{kept}")
    if reply.new_tokens is not None:
        parts.append(f"{reply.new_tokens:,} new tokens")
    if reply.seconds is not None and reply.state != "failed":
        first = f", first word {duration(reply.first_seconds)}" if reply.first_seconds is not None else ""
        parts.append(duration(reply.seconds) + first)
    if reply.state == "stopped":
        parts.append("stopped")
    elif reply.is_cut_off:
        parts.append("cut off at the longest answer")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """Three digits at most: `0.08 s`, `1.2 s`, `2:05 min`."""
    if seconds >= 100:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}:{rest:02d}{_NARROW}min"
    digits = 2 if seconds < 1 else 1 if seconds < 10 else 0
    return f"{seconds:.{digits}f}{_NARROW}s"


def _bytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def _capital(text: str) -> str:
    """A sentence's beginning; a name in quotes is left as it is."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
