"""The language model of an assembled model, and its tokenizer."""

from types import SimpleNamespace

import torch

from oryx.training.backbone import MARKERS, add_marker_rows


def test_markers_begin_as_the_mean_where_there_were_rows_to_spare():
    """As Pythia's 50,304 rows have for 50,277 tokens."""
    known, spare = 5, 8
    tables = [torch.nn.Embedding(known + spare, 4) for _ in range(2)]
    with torch.no_grad():
        for table in tables:
            table.weight[known:] = 7
    text = SimpleNamespace(
        config=SimpleNamespace(),
        get_input_embeddings=lambda: tables[0],
        get_output_embeddings=lambda: tables[1],
    )
    start, end = known, known + 1
    tokenizer = SimpleNamespace(
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=None,
        get_vocab=lambda: dict(zip(MARKERS, (start, end), strict=True)),
    )
    add_marker_rows(text, tokenizer, [MARKERS[1]])
    for table in tables:
        torch.testing.assert_close(table.weight[end], table.weight[:end].mean(0))
        assert (table.weight[start] == 7).all()  # the tokenizer had that one
    assert text.config.eos_token_id == end
