"""Figures as PNG bytes; matplotlib's object interface on the Agg canvas, no pyplot, no global state."""
