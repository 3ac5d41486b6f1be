"""A made scene, in both layouts."""

from pathlib import Path

import pytest
from made_scenes import MadeScene, furnished, write_plain, write_scannet


@pytest.fixture(scope="session")
def made() -> MadeScene:
    """Five views of four boxes; the last box, a lamp, is in sight of the last views alone or of none."""
    return furnished(5)


@pytest.fixture
def scannet(made: MadeScene, tmp_path: Path) -> Path:
    """The scene in ScanNet's layout."""
    return write_scannet(made, tmp_path / "scans" / "scene0001_00")


@pytest.fixture
def plain(made: MadeScene, tmp_path: Path) -> Path:
    """The scene as views and masks."""
    return write_plain(made, tmp_path / "scans" / "kitchen")
