"""Neural tuning (arXiv 2408.03001): a frozen language model, adapted to four tasks by a sparse task network."""
