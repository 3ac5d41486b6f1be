"""What holds for every test: the user's caches are out of sight."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def caches_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees what the user calibrated or fetched, and none leaves anything there.

    Pictures for the docs (`ORYX_PAGE_PICTURES`) show seconds, so they need the user's calibration.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("ORYX_PAGE_PICTURES"):
            patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield
