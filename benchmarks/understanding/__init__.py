"""How well what customers write is understood: moods in Chinese, few labels, aspects, and labels that a language model gave.

    python -m benchmarks.understanding chinese
    python -m benchmarks.understanding few-shot
    python -m benchmarks.understanding aspects
    python -m benchmarks.understanding distilled

Each command prints its tables, every reader in them measured in the same run beside TF-IDF with logistic regression; docs/understanding.md
quotes them. The module of each measurement says how it measures. Intervals are 95 %, from a bootstrap over texts, sentences or customers.

A probe is a logistic regression on the embeddings of a BERT whose weights stay as they are. A command that was stopped goes on where it
was (`--work`).
"""
