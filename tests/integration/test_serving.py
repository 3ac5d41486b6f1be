"""`oryx serve` over transformers, as its clients meet it."""

import pytest
from served import served

pytest.importorskip("fastapi")
pytest.importorskip("openai")


@pytest.mark.slow
def test_many_clients_over_transformers():
    from serving_load import check_many_clients

    with served("--engine", "transformers", "--dtype", "float32") as server:
        check_many_clients(server)


@pytest.mark.slow
def test_a_dial_means_the_same_everywhere():
    from serving_dials import check_dials

    with served("--engine", "transformers") as server:
        check_dials(server)
