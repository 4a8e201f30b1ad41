"""Conditions on one item: their grammar, and two engines that evaluate what it takes alike."""

from pipeline.conditions.grammar import ConditionError, parse
from pipeline.conditions.nodes import COLUMNS, NUMBERS, TEXTS, Node, Type, columns_of

__all__ = ["COLUMNS", "NUMBERS", "TEXTS", "ConditionError", "Node", "Type", "columns_of", "parse"]
