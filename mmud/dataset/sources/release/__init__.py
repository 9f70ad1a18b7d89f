"""Records of the official release: read one by one or many at once, and written again."""
