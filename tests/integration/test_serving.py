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
