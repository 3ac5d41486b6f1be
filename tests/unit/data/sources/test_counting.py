"""Counting: the same in any number of processes, and done again when files or tokenizers change."""

import json

import numpy as np
import pytest
import torch
from factories import make_processor
from made_records import turns

from oryx.data.sources import counting
from oryx.data.sources.counting import count_source, processor_fingerprint
from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings


@pytest.fixture
def source(tmp_path):
    """Three hundred texts, of which two are broken."""
    entries = [{"conversations": turns(answer="a " * (1 + number % 7))} for number in range(300)]
    entries[10] = entries[250] = {}
    (tmp_path / "data.json").write_text(json.dumps(entries))
    return open_source(SourceSettings(path=str(tmp_path / "data.json")))


def test_processes_count_the_same(source):
    processor = make_processor()
    found = []
    before = torch.get_rng_state()
    one, two = count_source(source, processor), count_source(source, processor, 2, found.append)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(one.lengths, two.lengths)
    assert one.broken == two.broken
    assert list(one.broken) == [10, 250]
    assert one.lengths[10] == -1
    assert one.broken[10].startswith(f"{source.place(10)}: a record needs")
    assert [finding.index for finding in found] == list(range(300))


def test_counts_are_kept_for_the_same_files_and_processor(source, monkeypatch, cache, tmp_path):
    monkeypatch.setattr(counting, "KEPT_FROM", 1)
    first = count_source(source, make_processor())
    measured = []
    monkeypatch.setattr(counting, "measure", lambda record, _: measured.append(record.place) or (1, 0))
    again = count_source(source, make_processor())
    assert measured == []
    assert np.array_equal(again.lengths, first.lengths)
    assert again.broken == first.broken
    with monkeypatch.context() as patch:
        patch.setattr(counting, "write_arrays", None)  # nothing has changed, so nothing is written
        count_source(source, make_processor())
    count_source(source, make_processor(system_prompt="Another."))
    assert len(measured) == 298
    (tmp_path / "data.json").write_text(json.dumps([{"conversations": turns()}]))
    count_source(open_source(SourceSettings(path=str(tmp_path / "data.json"))), make_processor())
    assert len(measured) == 299


def test_damaged_counts_are_made_again(source, monkeypatch, cache):
    monkeypatch.setattr(counting, "KEPT_FROM", 1)
    first = count_source(source, make_processor())
    (file,) = cache.glob("counts-*.npz")
    for content in (b"", b"nothing", file.read_bytes()[:200]):
        file.write_bytes(content)
        assert np.array_equal(count_source(source, make_processor()).lengths, first.lengths)


def test_a_cache_that_cannot_be_written_only_costs_time(source, monkeypatch, cache):
    monkeypatch.setattr(counting, "KEPT_FROM", 1)
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder would be")
    assert len(count_source(source, make_processor()).broken) == 2


def test_processors_that_count_otherwise_are_told_apart():
    assert processor_fingerprint(make_processor()) == processor_fingerprint(make_processor())
    others = [make_processor(system_prompt="x"), make_processor(prompt_style="eval")]
    assert len({processor_fingerprint(other) for other in [make_processor(), *others]}) == 3
