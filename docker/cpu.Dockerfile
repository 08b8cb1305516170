# The auditor on CPUs. From the root of the repository:
#   docker build -f docker/cpu.Dockerfile -t auditor:cpu .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/data" auditor:cpu audit --target model --members train.jsonl ...
# Other extras: --build-arg EXTRAS=all. A mirror of PyTorch's builds: --build-arg TORCH_BUILDS=URL.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY constraints.txt ./
# PyTorch's build without CUDA, gigabytes smaller, at the pinned version; what it needs comes with the rest
ARG TORCH_BUILDS=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/auditor \
    && PIP_INDEX_URL="$TORCH_BUILDS" /opt/auditor/bin/pip install --no-cache-dir --no-deps \
        "$(grep '^torch==' constraints.txt)+cpu"
COPY LICENSE README.md pyproject.toml ./
COPY attacks attacks
COPY auditor auditor
COPY reports reports
ARG EXTRAS=adapters,device-map,gguf,zstd
RUN /opt/auditor/bin/pip install --no-cache-dir -c constraints.txt ".[$EXTRAS]"

FROM python:3.11-slim-bookworm
# a compiler, for the kernel of large jobs
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/auditor /opt/auditor
# any user may run it: caches lie where everyone can write, and the name of a user without one is not looked up
ENV PATH=/opt/auditor/bin:$PATH HOME=/tmp LOGNAME=auditor
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["auditor"]
CMD ["--help"]
