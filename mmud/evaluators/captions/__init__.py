"""Caption metrics without Java: CIDEr, BLEU, ROUGE-L, lengths and distinct-n on Penn Treebank tokens.

``score.score_captions`` is the way in; ``oracles.score_with_pycocoevalcap`` runs the reference implementation beside it.
"""
