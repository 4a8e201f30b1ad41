"""Given to spark-submit by tests: start nitamono's session, print its settings as JSON."""

import json
import sys
from pathlib import Path

from pipeline.spark.log import SparkLog
from pipeline.spark.session import start

if __name__ == "__main__":
    spark, own = start(json.loads(sys.argv[1]), SparkLog(Path("spark.log")))
    said = dict(spark.sparkContext.getConf().getAll())
    shuffles = spark.conf.get("spark.sql.shuffle.partitions")
    sys.stdout.write(json.dumps({"own": own, "said": said, "shuffles": shuffles}))
    sys.exit(4)
