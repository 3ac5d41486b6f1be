"""The page that a chain leaves; test_chain.py has the table, the files, and what a full disk does."""

from oryx.training.curves import Curve
from oryx.training.summary import make_page


def test_the_page_has_a_row_for_each_part_and_the_picture():
    page = make_page([Curve("one", (50, 1_200), (2.5, 0.75), 12.34), Curve("two", (), ())])
    assert page.startswith("# How long it took\n")
    assert "| part | steps | minutes | first loss | last loss |\n|---|---|---|---|---|\n" in page
    assert "| one | 1,200 | 12.3 | 2.5000 | 0.7500 |\n| two | - | - | - | - |\n" in page
    assert page.endswith("![Loss over all parts](all_parts.png)\n")
