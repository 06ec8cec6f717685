"""A language model reads what customers wrote: labels for a sample of texts, aspects, names. Nothing is loaded until it is asked."""
