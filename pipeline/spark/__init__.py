"""All that touches a Spark session: starting it, its executors, its failures, its jars."""
