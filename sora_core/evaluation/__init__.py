"""Measurements of models and clips: the judge, the metrics, and the report that sets each score beside its ceiling."""
