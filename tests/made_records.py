"""Files of records as training reads them."""

from pathlib import Path

from oryx.data.sources.opening import open_source
from oryx.data.sources.record import Record
from oryx.data.sources.settings import SourceSettings


def read_records(path: Path | str) -> list[Record]:
    """All records of a file."""
    source = open_source(SourceSettings(path=str(path)))
    return [source.read(index) for index in range(len(source))]
