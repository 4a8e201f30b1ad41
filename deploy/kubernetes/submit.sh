# nitamono submit --config nitamono.toml --dry-run --master k8s://https://kubernetes.example:6443 --deploy-mode cluster --conf spark.kubernetes.driver.podTemplateFile=driver.yaml --conf spark.kubernetes.executor.podTemplateFile=executor.yaml --conf spark.kubernetes.driver.secretKeyRef.AWS_ACCESS_KEY_ID=s3-credentials:access-key-id --conf spark.kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY=s3-credentials:secret-access-key --conf spark.kubernetes.executor.secretKeyRef.AWS_ACCESS_KEY_ID=s3-credentials:access-key-id --conf spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY=s3-credentials:secret-access-key run --wait 600
spark-submit \
    --master k8s://https://kubernetes.example:6443 \
    --deploy-mode cluster \
    --name nitamono \
    --driver-memory 4g \
    --executor-memory 8g \
    --executor-cores 4 \
    --conf spark.driver.memoryOverhead=4g \
    --conf spark.executor.instances=10 \
    --conf spark.executor.memoryOverhead=8g \
    --conf spark.kubernetes.authenticate.driver.serviceAccountName=nitamono \
    --conf spark.kubernetes.container.image=registry.example/nitamono:0.2.0 \
    --conf spark.kubernetes.driver.podTemplateFile=driver.yaml \
    --conf spark.kubernetes.driver.secretKeyRef.AWS_ACCESS_KEY_ID=s3-credentials:access-key-id \
    --conf spark.kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY=s3-credentials:secret-access-key \
    --conf spark.kubernetes.executor.podTemplateFile=executor.yaml \
    --conf spark.kubernetes.executor.secretKeyRef.AWS_ACCESS_KEY_ID=s3-credentials:access-key-id \
    --conf spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY=s3-credentials:secret-access-key \
    --conf spark.kubernetes.namespace=shop \
    --conf spark.pyspark.python=/opt/nitamono/bin/python \
    --conf spark.sql.shuffle.partitions=800 \
    local:///opt/nitamono/entry/nitamono.py run --wait 600 --config /etc/nitamono/nitamono.toml
