"""Leaderboards: a folder of scored submissions, ranked with what the tests can tell apart."""
