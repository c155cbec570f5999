# Every `adfeast` command: scheduled jobs with Spark, the Redis writer, the reconciler, the heartbeat, `feast apply`.
FROM maven:3.9.16-eclipse-temurin-21@sha256:8f6ac126f7810bb5549c4cd122d2bf0e9cda5bdeb0838aa928f09e779fd8bef8 AS jars
WORKDIR /app
COPY infra/local/setup infra/local/setup
RUN --mount=type=cache,target=/root/.m2 mvn --batch-mode --quiet --no-transfer-progress -f infra/local/setup/pom.xml package
WORKDIR /app/.local/jars
RUN sha256sum --quiet --check ../../infra/local/setup/jars.sha256
WORKDIR /app
COPY streaming/java streaming/java
RUN --mount=type=cache,target=/root/.m2 mvn --batch-mode --quiet --no-transfer-progress -f streaming/java/pom.xml package \
    -Dmaven.test.skip=true

FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS build
WORKDIR /app
COPY pyproject.toml uv.lock ./
COPY infra/images/install infra/images/uv.lock infra/images/
RUN --mount=type=cache,target=/root/.cache/uv infra/images/install platform \
    && infra/images/install flink

FROM eclipse-temurin:21.0.12_8-jre-jammy@sha256:eebd356ad7358b7094758e5787a6726f332917cfd56feab6457c56dab895cdbf AS java

FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
# Hadoop and Flink ask for the user's name.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /scratch adfeast \
    && install --directory --owner adfeast --group adfeast /scratch
WORKDIR /app
COPY --from=java /opt/java/openjdk /opt/java/openjdk
COPY --from=jars /app/.local/jars/flink .local/jars/flink
COPY --from=jars /app/.local/jars/spark-s3 .local/jars/spark-s3
COPY --from=jars /app/.local/jars/function .local/jars/function
COPY --from=build /app/.local/env/platform .local/env/platform
COPY --from=build /app/.local/env/flink .local/env/flink
COPY adfeast adfeast
COPY cli cli
COPY feature_repo feature_repo
COPY infra infra
COPY registry registry
COPY serving serving
COPY streaming streaming
COPY training training
ENV PATH=/app/infra/images/bin:/app/.local/env/platform/bin:/opt/java/openjdk/bin:$PATH JAVA_HOME=/opt/java/openjdk \
    PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/scratch TMPDIR=/scratch \
    JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=/scratch ADFEAST_LOCAL=/scratch
VOLUME ["/scratch"]
USER 10001:10001
EXPOSE 9100
CMD ["adfeast", "--help"]
