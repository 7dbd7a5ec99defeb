# Inference server with one runtime: onnxruntime, openvino, tensorflow or pytorch.
# EXTRA is the extra that brings it, with `,envoy` for the second transport.
# Build contexts: `wheels`, a folder of wheels that win over the index (air-gapped and CPU-only builds); empty by default.
# Build secret: `pip.conf`, where the index needs one. `make images` builds it, checks its size and writes its SBOM.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM scratch AS wheels

FROM ${BASE} AS build
COPY deploy/docker/install.py /build/
ENV SOURCE_DATE_EPOCH=315619200
RUN ["python", "/build/install.py", "skeleton"]

# What is needed, in which version; then that, before any source.
FROM build AS locked
COPY pyproject.toml constraints.txt /build/
ARG EXTRA=serving
ARG DEVICE=cpu
RUN DEVICE=${DEVICE} python /build/install.py lock ${EXTRA}
FROM build AS dependencies
COPY --from=locked /locked /locked
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=secret,id=pip.conf \
    python /build/install.py dependencies

# The project itself.
FROM build AS application
COPY pyproject.toml constraints.txt README.md /build/
COPY core /build/core
COPY trainer /build/trainer
COPY evaluator /build/evaluator
COPY services /build/services
COPY loadtests /build/loadtests
COPY proto/gen /build/proto/gen
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=secret,id=pip.conf \
    PIP_CONSTRAINT=/build/constraints.txt python /build/install.py application

# Every Python package with version and licence, on request: docker build --target sbom --output DIR …
FROM build AS sbom-tool
COPY constraints.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=secret,id=pip.conf \
    python /build/install.py tool cyclonedx-bom
FROM sbom-tool AS sbom-list
RUN --mount=type=bind,from=dependencies,source=/opt/venv,target=/opt/venv \
    ["/opt/tool/bin/cyclonedx-py", "environment", "--output-reproducible", "--output-file", "/sbom.cdx.json", "/opt/venv/bin/python"]
FROM scratch AS sbom
COPY --from=sbom-list /sbom.cdx.json /

FROM ${BASE} AS final
COPY --from=build /skeleton /
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=application /opt/app /opt/app
ARG RUNTIME=onnxruntime
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    BAKEOFF_SERVING_HOST=0.0.0.0 BAKEOFF_SERVING_PORT=7111 BAKEOFF_SERVING_METRICS_PORT=8111 \
    BAKEOFF_SERVING_REPOSITORY=/data/models BAKEOFF_SERVING_CACHE=/cache BAKEOFF_SERVING_RUNTIME=${RUNTIME} \
    KERAS_HOME=/tmp/keras TF_CPP_MIN_LOG_LEVEL=1
USER 1000:1000
WORKDIR /data
EXPOSE 7111 8111
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --start-interval=2s --retries=3 \
    CMD ["python", "-m", "services.client.healthcheck", "127.0.0.1:7111"]
ENTRYPOINT ["python", "-m", "services.serving"]
ARG VERSION=0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="bakeoff-serving-${RUNTIME}" \
      org.opencontainers.image.description="Open Inference Protocol server with dynamic batching, runtime ${RUNTIME}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
