"""What a dataset holds: counts and distributions, read column by column in one pass."""
