"""`oryx serve` over vLLM, as its clients meet it."""

import pytest
from served import served

pytest.importorskip("fastapi")
pytest.importorskip("openai")


@pytest.mark.slow
def test_many_clients_over_vllm():
    from serving_load import check_many_clients

    with served("--engine", "vllm", "--dtype", "float32", "--max-model-len", "4096") as server:
        check_many_clients(server)


def test_a_dial_means_the_same_everywhere():
    from serving_dials import check_dials

    with served("--engine", "vllm", "--max-model-len", "4096") as server:
        check_dials(server)
