"""The stage train: tokens -> model."""
