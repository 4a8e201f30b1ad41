"""Conditions on one item: their grammar, and two engines that evaluate what it takes alike."""

from pipeline.conditions.grammar import ConditionError, parse
from pipeline.conditions.nodes import Node

__all__ = ["ConditionError", "Node", "parse"]
