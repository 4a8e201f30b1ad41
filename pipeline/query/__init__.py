"""Neighbours of texts that are in no catalogue, from a published version, without Spark."""
