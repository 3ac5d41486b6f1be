"""Bars: what guessing gives stands across each bar, at its own height."""

from oryx.evaluation.bar_chart import Bars, Section, draw_bars

INK = (25, 25, 25)


def heights_of_lines(chance):
    """Shares at which a dark line of at least a bar's width lies, over two full bars."""
    bars = Bars("bars", {"one": (1.0, 1.0, 1.0), "two": (1.0, 1.0, 1.0)}, chance)
    image = draw_bars("title", {"one": "1", "two": "2"}, [Section("", [bars])], "guessing")
    rows = range(97, 396)
    dark = {y: sum(image.getpixel((x, y)) == INK for x in range(52, 200)) for y in rows}
    return {round((396 - y) / 300, 1): num_pixels for y, num_pixels in dark.items() if num_pixels > 15}


def test_one_line_across_all_bars():
    (found,) = heights_of_lines(0.5).items()
    assert found[0] == 0.5
    assert found[1] > 35


def test_each_series_has_its_own():
    found = heights_of_lines({"one": 0.2, "two": 0.6})
    assert sorted(found) == [0.2, 0.6]
    assert all(num_pixels < 25 for num_pixels in found.values())
