"""Systems to measure against: neural tuning, its rivals, and the floors."""
