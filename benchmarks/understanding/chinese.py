"""The mood of Chinese reviews: how little an English BERT makes of them, and what a shop without a Chinese one can do.

Reviews of ten kinds of things, labelled good or bad. Of those with equal letters the first is kept, and none that was labelled both ways;
3,000 drawn at random are asked about; the others are learnt from, but for those that share six tenths of their pairs and triples of
characters with one that is asked about. Every reader learns from the same 9,000 of them, and the two that can from all.

The small Chinese BERT is made here: it knows the characters of the texts that it learns from, begins with random weights, and learns to
guess hidden characters and the mood at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.text import classes
from benchmarks.text.bench import SEED, Bench
from benchmarks.text.classes import Labels
from benchmarks.understanding.labelled import Texts, chinese
from benchmarks.understanding.readers import OURS, ours, probe, tf_idf
from recsys.config import TextConfig
from recsys.text.encoder import load_encoder
from recsys.text.heads import load_reader
from recsys.training.finetuning import Material
from segrec.console import output

HEAD = "mood"
MAX_TOKENS = 96
N_ASKED, N_KNOWN = 3000, 9000
_RARE = 3
"""Characters that fewer texts have are not in the vocabulary."""


def run(bench: Bench) -> None:
    """One table."""
    everything, asked = chinese(bench.data, N_ASKED)
    known = everything.some(N_KNOWN)
    untuned = bench.untuned(MAX_TOKENS)
    _say_unknown(bench, untuned, asked)
    seen, texts = known.texts.tolist(), asked.texts.tolist()
    read = bench.encode(untuned, seen), bench.encode(untuned, texts)
    told: dict[str, Labels | None] = {
        "TF-IDF of characters": tf_idf(seen, known.labels, texts, "characters"),
        "probe, default trunk": probe(read[0], known.labels, read[1]),
        f"{OURS}, default trunk": ours(seen, read[0], known.labels, texts, read[1]),
        "head of the tuned default trunk": _head(bench, known, texts, None, n_steps=100, learning_rate=1e-4),
        f"TF-IDF of characters, all {len(everything):,}": tf_idf(everything.texts.tolist(), everything.labels, texts, "characters"),
    }
    own = str(write_trunk(bench.work / "chinese", everything.texts.tolist()))
    told[f"small Chinese BERT from nothing, all {len(everything):,}"] = _head(
        bench, everything, texts, own, n_steps=450, learning_rate=7e-4, mlm_weight=0.2
    )
    systems = {name: classes.by_class(asked.labels, labels, len(asked.names)) for name, labels in told.items() if labels is not None}
    classes.report(f"Chinese reviews: good or bad, {len(texts):,} asked about, {len(seen):,} learnt from", systems, asked.units.tolist())


def _head(bench: Bench, known: Texts, texts: Sequence[str], trunk: str | None, **settings: object) -> Labels:
    """Classes named by a head that learnt together with the trunk."""
    material = Material(("",), labels={HEAD: known.named()})
    plan = bench.plan(**{"head_texts": 64, "head_weight": 1.0, "micro_batch": 64, "validate_every": 1000, **settings})
    reader = load_reader(bench.tuned(material, plan, MAX_TOKENS, trunk), bench.n_threads)
    head = reader.heads.by_name[HEAD]
    named = np.array([known.names.index(name) for name in head.classes])
    return np.asarray(named[reader.classify(texts)[HEAD].argmax(axis=1)])


def _say_unknown(bench: Bench, text: TextConfig, asked: Texts) -> None:
    """What the trunk cannot even tell apart."""
    encoder = load_encoder(text, bench.n_threads)
    tokens = np.concatenate([line[1:-1] for line in encoder.tokens(asked.texts.tolist())])
    unknown = float((tokens == encoder.tokenizer.unk_token_id).mean())
    output().print(f"{unknown:.1%} of the tokens of the reviews asked about are unknown to {text.trunk}")


def write_trunk(folder: Path, texts: Sequence[str]) -> Path:
    """A folder with a random BERT of 4 layers, 256 wide, that knows the characters of the texts; the same in every run."""
    import torch
    import transformers

    counts = Counter(character for text in texts for character in set(text.lower()) if not character.isspace())
    characters = sorted(character for character, n in counts.items() if n >= _RARE)
    inner = [f"##{character}" for character in characters if character.isascii() and character.isalnum()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *inner]
    folder.mkdir(parents=True, exist_ok=True)
    transformers.BertTokenizer(vocab={token: row for row, token in enumerate(vocabulary)}).save_pretrained(folder)
    shape = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        settings = transformers.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=128, **shape)
        transformers.BertModel(settings).save_pretrained(folder)
    return folder
