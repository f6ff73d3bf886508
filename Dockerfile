# The processor's image: Python, the locked dependencies, the package. It runs as nobody in particular, writes nothing
# but /tmp, and needs no shell.
#
#   docker build --tag creative-feedback:0.2.0 .
#   docker run --rm --read-only --tmpfs /tmp creative-feedback:0.2.0 run --help
#
# Every package is taken by its hash, and compiled code has no time in it. So two builds on one base have the same
# content; with BuildKit's SOURCE_DATE_EPOCH and the output option rewrite-timestamp=true they are the same image. Name
# the base by its digest where that matters: --build-arg PYTHON_IMAGE=python:3.11-slim-trixie@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim-trixie


FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PYTHONDONTWRITEBYTECODE=1

# One environment to install with, and one that is delivered and has no installer in it.
RUN python -m venv tools && python -m venv --without-pip /opt/creative-feedback
COPY requirements-build.lock requirements-run.lock ./
RUN tools/bin/pip install --require-hashes --requirement requirements-build.lock \
    && tools/bin/pip --python /opt/creative-feedback/bin/python install --no-compile \
        --require-hashes --requirement requirements-run.lock

COPY . .
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && tools/bin/pip --python /opt/creative-feedback/bin/python install --no-compile \
        --no-deps --no-index --find-links wheels creative-feedback \
    && find /opt/creative-feedback -type d -name tests -prune -exec rm -r {} + \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/creative-feedback/lib


FROM ${PYTHON_IMAGE}
ENV PATH=/opt/creative-feedback/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# The base leaves its own library uncompiled, and nobody could write the compiled form later: without it every start
# would compile what it imports.
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip setuptools wheel \
    && rm -r "$(python -c 'import ensurepip; print(ensurepip.__path__[0])')" \
    && python -m compileall -q --invalidation-mode unchecked-hash \
        -x '/(idlelib|lib2to3|site-packages|test|tests|tkinter|turtledemo)/' "$(python -c 'import os; print(os.__file__[:-6])')"
COPY --from=build /opt/creative-feedback /opt/creative-feedback

USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["creative-feedback"]
CMD ["run"]

# Last, so that another revision changes no layer. What is healthy depends on the command: who runs it asks
# /health/ready and /health/live.
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="creative-feedback" \
      org.opencontainers.image.description="Exactly-once stream processor for the Creative Feedback Loop of TORI sessions, on Apache Kafka" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
