# The auditor on NVIDIA GPUs; the host needs a driver and NVIDIA's container toolkit. From the root of the repository:
#   docker build -f docker/cuda.Dockerfile -t auditor:cuda .
#   docker run --rm --gpus all auditor:cuda doctor
#   docker run --rm --gpus all -u "$(id -u):$(id -g)" -v "$PWD:/data" auditor:cuda audit --target model ...
# Other extras: --build-arg EXTRAS=all. CUDA itself comes with PyTorch's default build for Linux.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY LICENSE README.md constraints.txt pyproject.toml ./
COPY attacks attacks
COPY auditor auditor
COPY reports reports
ARG EXTRAS=adapters,device-map,gguf,zstd
RUN python -m venv /opt/auditor \
    && /opt/auditor/bin/pip install --no-cache-dir -c constraints.txt ".[$EXTRAS]"

FROM python:3.11-slim-bookworm
# compilers, for the Triton kernel (C) and the kernel of large jobs
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/auditor /opt/auditor
# any user may run it: caches lie where everyone can write, and the name of a user without one is not looked up
ENV PATH=/opt/auditor/bin:$PATH HOME=/tmp LOGNAME=auditor
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["auditor"]
CMD ["--help"]
