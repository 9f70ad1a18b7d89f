"""Talking to a model behind an address: what baselines and annotators share."""
