# The bakeoff command: runs experiments against services elsewhere. Load tests are its child processes.
# EXTRA is the extra that brings it, with `,tracking` for MLflow's client.
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
ARG EXTRA=cli
ARG DEVICE=cpu
RUN DEVICE=${DEVICE} python /build/install.py lock ${EXTRA} loadtests s3
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
COPY experiments /opt/app/experiments
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    BAKEOFF_HOME=/home/bakeoff BAKEOFF_STORE=/data/store BAKEOFF_REPOSITORY=/data/models BAKEOFF_PRODUCTION=/data/production
USER 1000:1000
WORKDIR /opt/app
ENTRYPOINT ["python", "-m", "services.cli.main"]
CMD ["--help"]
ARG VERSION=0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="bakeoff-cli" \
      org.opencontainers.image.description="Runs experiments and reads their reports" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
