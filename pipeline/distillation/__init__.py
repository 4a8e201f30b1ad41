"""Distilling: a static model of the catalogue's own words from a sentence encoder."""
