"""MMUD: build, validate, export and score a dataset whose every image is labelled for four tasks."""

__version__ = "0.1.0"
