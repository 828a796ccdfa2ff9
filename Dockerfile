# The cache as an image: Python, the program and its libraries, and nothing that installs or compiles.
# `docker compose up -d` builds it, and so does: docker build -t pullthrough .
#
# Its libraries come from PyPI, or through a cache that already runs: --secret id=pip,src=pip.conf

# The base of Dockerfile.cached, too, so that it is fetched once.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# The installer has an environment of its own: the one that is copied into the image has none.
RUN python -m venv /opt/build && python -m venv --without-pip /opt/pullthrough
RUN --mount=type=cache,id=pullthrough-pip,target=/var/cache/pip,mode=1777 \
    --mount=type=secret,id=pip,target=/etc/pip.conf,mode=0444 \
    --mount=type=bind,source=requirements.txt,target=/src/requirements.txt \
    --mount=type=bind,source=requirements-build.txt,target=/src/requirements-build.txt \
    export PIP_CACHE_DIR=/var/cache/pip && \
    /opt/build/bin/python -m pip install --no-compile --require-hashes -r requirements-build.txt && \
    /opt/build/bin/python -m pip --python /opt/pullthrough/bin/python install --require-hashes -r requirements.txt
COPY LICENSE README.md pyproject.toml ./
COPY proxy proxy
RUN /opt/build/bin/python -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /opt/wheel . && \
    /opt/build/bin/python -m pip --python /opt/pullthrough/bin/python install --no-deps --no-index /opt/wheel/*.whl

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="pullthrough" \
      org.opencontainers.image.description="A pull-through caching proxy for pip and apt" \
      org.opencontainers.image.licenses="Apache-2.0"
# Whoever the container runs as can write here. A named volume takes over owner and mode.
RUN mkdir -m 1777 /data
COPY --from=build /opt/pullthrough /opt/pullthrough
# Ports are published by whoever starts the container: inside, it listens on all addresses.
ENV PATH=/opt/pullthrough/bin:$PATH \
    PULLTHROUGH_HOST=0.0.0.0 \
    PULLTHROUGH_PORT=3142 \
    PULLTHROUGH_DATA=/data
# A pullthrough.toml of the working folder is read. So settings can lie beside the data.
WORKDIR /data
USER 1000:1000
EXPOSE 3142
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["pullthrough", "healthcheck"]
ENTRYPOINT ["pullthrough"]
CMD ["serve"]
