"""Spark's connectors for formats that it does not read itself: which release fits which Spark."""

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from pipeline.config.sections import Config

# By Spark's release line. What is missing is not released for it.
PACKAGES = {
    "4.1": {
        "delta": "io.delta:delta-spark_4.1_2.13:4.4.0",
        "iceberg": "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0",
        "avro": "org.apache.spark:spark-avro_2.13:4.1.1",
    },
    "4.2": {
        "delta": "io.delta:delta-spark_4.2_2.13:4.4.0",
        "avro": "org.apache.spark:spark-avro_2.13:4.2.0",
    },
}
# The beginnings of the classes' names that a setting of Spark's asks for a connector with.
_CLASSES = {
    "delta": ("io.delta.", "org.apache.spark.sql.delta."),
    "iceberg": ("org.apache.iceberg.",),
}


def release_line() -> str:
    """The release line of the Spark that is installed: 4.1."""
    return ".".join(version("pyspark").split(".")[:2])


def packages(config: "Config") -> list[str]:
    """The artifacts of the connectors that a config asks for, by format or by class."""
    values = " ".join(config.spark.values())
    asked = [name for name, classes in _CLASSES.items() if any(c in values for c in classes)]
    if config.catalogue.format == "avro":
        asked.append("avro")
    known = PACKAGES.get(release_line(), {})
    return [known[name] for name in asked if name in known]


def table_format(spark: "SparkSession", table: str) -> str:
    """The format of a table as its catalog names it, in lower case; empty for views and others."""
    return described(spark, table).get("Provider", "").lower()


def described(spark: "SparkSession", table: str) -> dict[str, str]:
    """What DESCRIBE TABLE EXTENDED says of a table, without its columns.

    A table with partitions has the key `# Partition Information`.
    """
    rows = spark.sql(f"DESCRIBE TABLE EXTENDED {table}").collect()
    pairs = [(row["col_name"], row["data_type"]) for row in rows]
    # The columns come first, and may have any names.
    header = next((n for n, (name, _) in enumerate(pairs) if name.startswith("# Detailed")), 0)
    named = {name: value for name, value in pairs[:header] if name == "# Partition Information"}
    return named | dict(pairs[header:])


def advice() -> str:
    """What to do where a connector's classes are missing."""
    known = PACKAGES.get(release_line(), {})
    names = ", ".join(f"{name}: {artifact}" for name, artifact in known.items())
    return (
        f"for Spark {release_line()} there are {names or 'no connectors that nitamono knows of'}; "
        "set spark.jars.packages to what is needed: docs/lakehouse.md"
    )
