"""Drafting labels: captions, and questions with tagged answers, by a model or by rule, from images with objects."""
