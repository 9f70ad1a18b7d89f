"""Submissions: predictions that somebody else packed, opened within limits and checked before they are scored."""
