"""Random BERTs small enough to train in a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import transformers


def write_trunk(folder: Path, words: Sequence[str], dropout: float = 0.0) -> Path:
    """A folder with a random BERT of one layer, 16 wide, that knows the words."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    folder.mkdir(parents=True, exist_ok=True)
    transformers.BertTokenizer(vocab={word: row for row, word in enumerate(vocabulary)}).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = transformers.BertConfig(
            vocab_size=len(vocabulary), initializer_range=0.3, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, **shape
        )
        transformers.BertModel(settings).save_pretrained(folder)
    return folder
