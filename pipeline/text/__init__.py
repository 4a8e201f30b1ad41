"""From a shop's text to tokens: pure functions, no Spark."""
