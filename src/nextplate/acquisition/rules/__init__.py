"""Acquisition rules, one file each: its function, and what the loop has to know of it as ``SPEC``.

A file put here is a rule; nothing else is to be told of it.
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from nextplate.acquisition.rules.rule import FloatArray, Knobs, Mask, Rule, RuleSpec, Told
from nextplate.errors import PlanError

__all__ = ["RULES", "FloatArray", "Knobs", "Mask", "Rule", "RuleSpec", "Told", "rule_named"]


def _found() -> Mapping[str, RuleSpec]:
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    specs = (module.SPEC for module in modules if hasattr(module, "SPEC"))
    return MappingProxyType({spec.name: spec for spec in specs})


RULES: Mapping[str, RuleSpec] = _found()
"""The rules by the name an operator may write in lab.toml."""


def rule_named(name: str) -> RuleSpec:
    """Give the rule of a name; PlanError, naming those there are, when there is none."""
    if name not in RULES:
        raise PlanError(f"there is no acquisition rule {name!r}; the rules are: {', '.join(RULES)}")
    return RULES[name]
