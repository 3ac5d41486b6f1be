"""The table of capacities."""

from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs" / "serving.md"


def test_the_docs_have_its_rows(load):
    table = [
        line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| 7B | 24 GB")
    ]
    rows = load("serving_capacity").rows()
    for row in rows:
        assert f"| {' | '.join(row)} |" in DOCS.read_text(encoding="utf-8")
    assert len(table) == 1


def test_less_memory_holds_fewer_requests_and_weights_that_do_not_fit_none(load):
    module = load("serving_capacity")
    sizes = module.model_sizes(module.preset_config("oryx-1.5-7b"), "bfloat16")
    assert module.num_at_a_time(sizes, 1, 16, 1000) is None
    assert 0 < module.num_at_a_time(sizes, 1, 24, 1000) < module.num_at_a_time(sizes, 1, 48, 1000)
    assert module.num_at_a_time(sizes, 1, 24, 2000) == module.num_at_a_time(sizes, 1, 24, 1000) // 2


def test_devices_are_no_pool(load):
    """28 heads are shared out to four devices, not to eight: those hold the weights twice."""
    module = load("serving_capacity")
    sizes = module.model_sizes(module.preset_config("oryx-1.5-7b"), "bfloat16")
    assert [module.parallel_size(sizes, number) for number in (1, 2, 3, 4, 6, 8)] == [1, 2, 2, 4, 4, 4]
    four = module.num_at_a_time(sizes, 4, 80, 1000)
    assert module.num_at_a_time(sizes, 8, 80, 1000) == 2 * four
    assert module.num_at_a_time(sizes, 2, 80, 1000) > 2 * module.num_at_a_time(sizes, 1, 80, 1000)
