"""Loading: from wherever a run stands, in workers, with errors that stay one sentence."""

import pytest
import torch

from oryx.errors import ConfigError
from oryx.training.loader import BatchLoader, ResumingSampler


class Numbers:
    """Batches that are their number; the fifth is broken."""

    def __getitem__(self, number):
        if number == 5:
            raise ConfigError("batch 5 is broken.")
        return {"number": torch.tensor(number)}

    def num_batches(self, epochs):
        return 10


def numbers(loader):
    return [int(batch["number"]) for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loading_begins_where_the_run_stands(tmp_path, num_workers):
    done = 0
    loader = BatchLoader(Numbers(), ResumingSampler(5, lambda: done), num_workers, False, tmp_path)
    assert numbers(loader) == [0, 1, 2, 3, 4]
    done = 3  # looked up when iteration begins: the Trainer makes the loader before it reads its checkpoint
    assert numbers(loader) == [3, 4]
    assert len(loader) == 5


def test_processes_share_the_batches_out():
    seen = [list(ResumingSampler(3, lambda: 1, rank=rank, world_size=2)) for rank in range(2)]
    assert seen == [[2, 4], [3, 5]]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_a_worker_stays_one_sentence(tmp_path, num_workers):
    loader = BatchLoader(Numbers(), ResumingSampler(9, lambda: 4), num_workers, False, tmp_path)
    with pytest.raises(ConfigError) as error:
        numbers(loader)
    assert str(error.value) == "batch 5 is broken."


def test_loading_leaves_the_global_generator_alone(tmp_path):
    before = torch.get_rng_state()
    numbers(BatchLoader(Numbers(), ResumingSampler(2, lambda: 0), 0, False, tmp_path))
    assert torch.equal(torch.get_rng_state(), before)
