"""Systems whose scores are known, or nearly so, beforehand: the floors and the ceiling of every table."""
