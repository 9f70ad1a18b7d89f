"""A new version of a dataset with labels that an annotator drafted."""
