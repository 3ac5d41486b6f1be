"""What holds for every test: the user's caches are out of sight, and Ctrl-C means what it does in a shell."""

import os
import signal
from collections.abc import Iterator

import pytest


def pytest_configure() -> None:
    """A shell starts what runs in the background deaf to Ctrl-C, and all that a test starts would be, too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def caches_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees what the user calibrated or fetched, and none leaves anything there.

    Pictures for the docs (`ORYX_PAGE_PICTURES`) show seconds, so they need the user's calibration.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("ORYX_PAGE_PICTURES"):
            patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield
