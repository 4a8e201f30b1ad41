"""A program for spark-submit: start nitamono's session and print its settings as JSON."""

import json
import sys
from pathlib import Path

from pipeline.spark.log import SparkLog
from pipeline.spark.session import start

if __name__ == "__main__":
    spark, own = start(json.loads(sys.argv[1]), SparkLog(Path("spark.log")))
    conf = dict(spark.sparkContext.getConf().getAll())
    shuffles = spark.conf.get("spark.sql.shuffle.partitions")
    sys.stdout.write(json.dumps({"own": own, "conf": conf, "shuffles": shuffles}))
    sys.exit(4)
