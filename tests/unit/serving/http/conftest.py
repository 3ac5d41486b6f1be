"""What tests of the server share."""

from collections.abc import Callable

import pytest


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """() -> lines of the request log."""
    caplog.set_level("DEBUG", logger="oryx.serving.requests")
    return lambda: [
        record.getMessage() for record in caplog.records if record.name == "oryx.serving.requests"
    ]
