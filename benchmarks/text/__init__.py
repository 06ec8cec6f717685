"""The trunk fine-tuned against the same trunk as it comes, and against that whitened, in one run; what heads read from texts.

    python -m benchmarks.text next-item --shop beauty
    python -m benchmarks.text reviews
    python -m benchmarks.text instruments
    python -m benchmarks.text cold
    python -m benchmarks.text sentiment
    python -m benchmarks.text intents
    python -m benchmarks.text study

Each command prints its tables; docs/text.md quotes them. The module of each measurement says how it measures.

Whitened: the mean is taken off, the rest is scaled along its principal axes to unit variance (over the items, not the queries).
Intervals are 95 %, from a bootstrap over customers, reviews or texts. A command that was stopped goes on where it was (`--work`).
"""
