"""Coarse correspondences: the few objects seen in most views, marked with the same number in every view."""
