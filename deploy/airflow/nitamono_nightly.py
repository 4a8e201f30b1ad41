"""The nightly run on Kubernetes as an Airflow DAG, one task a stage.

Put this file and nitamono_stages.py into the DAGs' folder. The connection spark_default names the
cluster: k8s://https://HOST:PORT. The workers need spark-submit (pip install pyspark), and the
folder /opt/nitamono/kubernetes with deploy/kubernetes/driver.yaml and executor.yaml.

If a stage fails, Airflow runs it again, once; finished stages are not run again. This file is an
example: change it for another schedule, more executors and so on.
"""

from datetime import datetime, timedelta

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, chain
from nitamono_stages import ENTRY, STAGES, arguments

TEMPLATES = "/opt/nitamono/kubernetes"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "s3-credentials:access-key-id",
    "AWS_SECRET_ACCESS_KEY": "s3-credentials:secret-access-key",
}
SPARK = {
    "spark.driver.memoryOverhead": "4g",
    "spark.executor.instances": "10",
    "spark.executor.memoryOverhead": "8g",
    "spark.kubernetes.authenticate.driver.serviceAccountName": "nitamono",
    "spark.kubernetes.container.image": "registry.example/nitamono:0.2.0",
    "spark.kubernetes.driver.podTemplateFile": f"{TEMPLATES}/driver.yaml",
    "spark.kubernetes.executor.podTemplateFile": f"{TEMPLATES}/executor.yaml",
    "spark.kubernetes.namespace": "shop",
    "spark.pyspark.python": "/opt/nitamono/bin/python",
    "spark.sql.shuffle.partitions": "800",
    **{
        f"spark.kubernetes.{role}.secretKeyRef.{name}": key
        for role in ("driver", "executor")
        for name, key in CREDENTIALS.items()
    },
}

with DAG(
    dag_id="nitamono_nightly",
    description="Similar items of the whole catalogue",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),
    # Missed nights are not run later, and two nights never run at the same time.
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=5)},
    tags=["nitamono"],
) as dag:
    chain(
        *(
            SparkSubmitOperator(
                task_id=stage,
                name=f"nitamono-{stage}",
                conn_id="spark_default",
                deploy_mode="cluster",
                application=ENTRY,
                application_args=arguments(stage),
                conf=SPARK,
                driver_memory="4g",
                executor_memory="8g",
                executor_cores=4,
            )
            for stage in STAGES
        )
    )
