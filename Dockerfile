# Three targets of one install:
#   docker build --target cpu   -t bioelx:0.1.0-cpu .     serves on a CPU
#   docker build --target gpu   -t bioelx:0.1.0-gpu .     serves on an NVIDIA GPU
#   docker build --target build -t bioelx:0.1.0-build .   makes releases; the others only serve
#
# A release is made in a volume, and served from it read-only:
#   docker run --rm -v bioelx:/bioelx/releases bioelx:0.1.0-build
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     -v bioelx:/bioelx/releases:ro -v ./secrets:/etc/bioelx:ro -p 50051:50051 bioelx:0.1.0-cpu
# ./secrets holds tls/tls.crt, tls/tls.key and tokens/tokens.json, readable by user 10001. Without
# them the server does not start; docs/serving.md says how to do without, and how to make them.
# Stop it with `docker stop -t 30`: running calls get BIOELX_GRACE_SECONDS, 20 unless set.
#
# The tag names one version of Python. Whoever builds for production adds the digest that the
# registry shows for it (PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...).
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS source
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bioelx bioelx
COPY index_build/bioelx_index index_build/bioelx_index
COPY eval/bioelx_eval eval/bioelx_eval

# No pip in what is served; byte code is compiled here, since the server cannot write any.
FROM source AS install-cpu
RUN python -m venv --without-pip /app \
 && pip --python /app/bin/python install --no-cache-dir -c constraints.txt ".[cpu,traces]"

FROM source AS install-gpu
RUN python -m venv --without-pip /app \
 && pip --python /app/bin/python install --no-cache-dir -c constraints.txt ".[gpu,traces]"

FROM source AS install-build
RUN python -m venv --without-pip /app \
 && pip --python /app/bin/python install --no-cache-dir -c constraints.txt ".[cpu,build]"

FROM ${PYTHON_IMAGE} AS base
RUN groupadd --gid 10001 bioelx \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin bioelx \
 && install --directory --owner bioelx --group bioelx /bioelx /bioelx/releases /bioelx/cache \
      /bioelx/evaluations
COPY models /bioelx/models
COPY data /bioelx/data
ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BIOELX_HOME=/bioelx
USER 10001:10001
WORKDIR /bioelx
VOLUME /bioelx/releases
ENTRYPOINT ["bioelx"]

FROM base AS build
COPY --from=install-build /app /app
CMD ["build"]

FROM base AS server
COPY deploy/docker/bioelx.toml /usr/local/etc/bioelx.toml
ENV BIOELX_CONFIG=/usr/local/etc/bioelx.toml
EXPOSE 50051 50052 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "import sys; from bioelx.client import Client; sys.exit(not Client('127.0.0.1:50052').wait_ready(timeout=4))"]
CMD ["serve"]

FROM server AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=install-gpu /app /app

# The last, so that it is what `docker build .` makes.
FROM server AS cpu
COPY --from=install-cpu /app /app
