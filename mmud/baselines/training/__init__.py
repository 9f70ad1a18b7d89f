"""Training in plain torch: what any baseline that learns by gradients shares, whatever its model is."""
