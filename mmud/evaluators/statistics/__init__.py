"""Exact sums, bootstrap intervals, paired tests: everything that is computed from sums of rows and never from masks or text."""
