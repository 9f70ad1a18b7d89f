"""New splits of a dataset in which no image is in two."""
