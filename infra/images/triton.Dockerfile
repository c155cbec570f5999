# Triton from the wheel that the platform was tested with. Target `cpu` serves the flavour onnx, the default; target `gpu`
# has torch with CUDA and all flavours.
FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS build
WORKDIR /app
COPY pyproject.toml uv.lock ./
COPY infra/images/install infra/images/uv.lock infra/images/
COPY infra/local/setup infra/local/setup

FROM build AS build-cpu
RUN --mount=type=cache,target=/root/.cache/uv infra/images/install triton torch torchrec fbgemm-gpu-cpu
RUN python infra/local/setup/triton_runtime.py .local/env/triton triton

FROM build AS build-gpu
RUN --mount=type=cache,target=/root/.cache/uv infra/images/install triton
RUN python infra/local/setup/triton_runtime.py .local/env/triton triton

FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS base
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /scratch adfeast \
    && install --directory --owner adfeast --group adfeast /scratch /models
WORKDIR /app
# The stub of Triton's Python backend finds the interpreter on the PATH, and libpython of the base image in /usr/local/lib.
ENV PATH=/app/.local/env/triton/bin:$PATH LD_LIBRARY_PATH=/app/triton/lib:/usr/local/lib OMP_NUM_THREADS=1 \
    PYTHONDONTWRITEBYTECODE=1 HOME=/scratch TMPDIR=/scratch
VOLUME ["/scratch"]
USER 10001:10001
EXPOSE 8000 8001 8002
ENTRYPOINT ["/app/triton/bin/tritonserver", "--model-repository=/models", "--model-control-mode=explicit", \
    "--load-model=*", "--exit-on-error=false", "--strict-readiness=false", "--disable-auto-complete-config", \
    "--backend-directory=/app/triton/backends", "--exit-timeout-secs=10"]

FROM base AS cpu
COPY --from=build-cpu /app/.local/env/triton .local/env/triton
COPY --from=build-cpu /app/triton triton
CMD ["--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0"]

FROM base AS gpu
COPY --from=build-gpu /app/.local/env/triton .local/env/triton
COPY --from=build-gpu /app/triton triton
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# A model that has configs/gpu.pbtxt is served by it; every other one by its config.pbtxt.
CMD ["--model-config-name=gpu"]
