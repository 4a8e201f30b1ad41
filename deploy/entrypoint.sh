#!/bin/bash
# The entry point of the image. Spark on Kubernetes passes "driver" with arguments for spark-submit,
# or "executor", whose arguments are in the environment. Anything else is run as a command:
#     docker run IMAGE nitamono --help
set -euo pipefail

# Spark asks for the user's name, but a cluster may run the container as a user without one.
if ! getent passwd "$(id -u)" >/dev/null && [ -w /etc/passwd ]; then
    echo "spark:x:$(id -u):$(id -g)::/home/spark:/usr/sbin/nologin" >> /etc/passwd
fi

case "${1:-}" in
driver)
    shift
    exec tini -s -- "$SPARK_HOME/bin/spark-submit" \
        --conf "spark.driver.bindAddress=${SPARK_DRIVER_BIND_ADDRESS:?}" \
        --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
        --deploy-mode client "$@"
    ;;
executor)
    # SPARK_JAVA_OPT_0, SPARK_JAVA_OPT_1, ... hold one option of the JVM each, in order.
    options=()
    while IFS= read -r name; do
        options+=("${!name}")
    done < <(compgen -e SPARK_JAVA_OPT_ | sort -t _ -k 4 -n)
    classes="${SPARK_CONF_DIR:-$SPARK_HOME/conf}:${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*"
    exec tini -s -- "${JAVA_HOME:+$JAVA_HOME/bin/}java" "${options[@]}" \
        "-Xms${SPARK_EXECUTOR_MEMORY:?}" "-Xmx$SPARK_EXECUTOR_MEMORY" -cp "$classes" \
        org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
        --driver-url "${SPARK_DRIVER_URL:?}" \
        --executor-id "${SPARK_EXECUTOR_ID:?}" \
        --cores "${SPARK_EXECUTOR_CORES:?}" \
        --app-id "${SPARK_APPLICATION_ID:?}" \
        --hostname "${SPARK_EXECUTOR_POD_IP:?}" \
        --resourceProfileId "${SPARK_RESOURCE_PROFILE_ID:?}" \
        --podName "${SPARK_EXECUTOR_POD_NAME:?}"
    ;;
*)
    exec tini -s -- "$@"
    ;;
esac
