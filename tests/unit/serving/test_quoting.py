"""What others wrote, in the log."""

from oryx.serving.http.errors import as_request_error
from oryx.serving.quoting import MARGIN, MAX_TEXT, quoted, quoted_line


def test_lines_stay_behind_their_margin():
    text = "Traceback:\n  File\r\n2026-01-01 ERROR forged\x1b[2J\u2028forged\n"
    assert quoted(text).split("\n") == [
        "  | Traceback:",
        "  |   File\\r",
        "  | 2026-01-01 ERROR forged\\x1b[2J\\u2028forged",
    ]
    assert quoted("é") == MARGIN + "\\xe9"
    assert quoted_line("a\nb") == "a\\nb"


def test_of_a_long_text_its_end_is_left():
    assert quoted("x" * 10**6 + "\nthe error").endswith("\n  | the error")
    assert len(quoted("x" * 10**6)) == MAX_TEXT + len(MARGIN)


def test_an_exception_cannot_forge_entries(caplog):
    as_request_error(ZeroDivisionError("inside\nERROR forged"), "id")
    assert "ZeroDivisionError: inside\n  | ERROR forged" in caplog.text
