"""The tokenizer of models that are trained from nothing here: words are tokens, bare words are spelled.

A byte-level BPE without merges: " circle" inside a sentence is one token, while an answer's first word, and
any word that is not listed, is spelled letter by letter. So reading a word that was never seen is spelling
it, and nothing has to be learned about how a word was cut up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

_WORD = re.compile(r" ?[A-Za-z]+")
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
ROLES = ("system", "user", "assistant")


def spelling_tokenizer(texts: Iterable[str], min_count: int = 2) -> PreTrainedTokenizerFast:
    """One token for each spaced or capitalised word that `texts` hold at least `min_count` times.

    Any other text still works, as bytes. ChatML's marks and role names are added tokens.
    """
    counts = Counter(word for text in texts for word in _WORD.findall(text))
    listed = sorted(w for w, n in counts.items() if n >= min_count and (w[0] == " " or w[0].isupper()))
    vocabulary = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for word in listed:
        vocabulary.setdefault(word.replace(" ", "Ġ"), len(vocabulary))
    # A word of the vocabulary is taken whole; without merges all others fall into bytes.
    tokenizer = Tokenizer(models.BPE(vocabulary, [], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(role, single_word=True, normalized=False) for role in ROLES])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START, END],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
