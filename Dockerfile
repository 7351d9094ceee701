# A server on a CPU. It serves the active release of the volume; one is made in the same volume:
#   docker build -t bioelx --build-arg EXTRAS=cpu,quickstart .
#   docker run --rm -v bioelx:/bioelx/releases bioelx build
#   docker run --read-only --tmpfs /tmp -v bioelx:/bioelx/releases -p 50051:50051 bioelx
# Without EXTRAS the image is smaller and only serves. Stop it with `docker stop -t 30`: running
# calls get BIOELX_GRACE_SECONDS, 20 unless set.
FROM python:3.11-slim-bookworm AS install
ARG EXTRAS=cpu
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bioelx bioelx
COPY index_build/bioelx_index index_build/bioelx_index
COPY eval/bioelx_eval eval/bioelx_eval
# No pip in what is served; byte code is compiled here, since the server cannot write any.
RUN python -m venv --without-pip /app \
 && pip --python /app/bin/python install --no-cache-dir -c constraints.txt ".[${EXTRAS}]"

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin bioelx \
 && install --directory --owner bioelx /bioelx /bioelx/releases /bioelx/cache
COPY --from=install /app /app
COPY models /bioelx/models
COPY data /bioelx/data
ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    BIOELX_HOME=/bioelx \
    BIOELX_HOST=0.0.0.0 \
    BIOELX_PORT=50051
USER 10001
WORKDIR /bioelx
VOLUME /bioelx/releases
EXPOSE 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", \
    "import os, sys; from bioelx.client import Client; sys.exit(not Client('localhost:' + os.environ['BIOELX_PORT']).wait_ready(timeout=4))"]
ENTRYPOINT ["bioelx"]
CMD ["serve"]
