"""Acquisition rules, one file each; the table of their names is ``nextplate.acquisition.RULES``."""

from nextplate.acquisition.rules.rule import FloatArray, Knobs, Mask, Rule, Told

__all__ = ["FloatArray", "Knobs", "Mask", "Rule", "Told"]
