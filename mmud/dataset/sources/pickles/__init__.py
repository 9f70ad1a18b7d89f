"""A pickle reader that makes plain data and nothing else; `mmud.dataset.sources.safe_pickle` is the way in."""
