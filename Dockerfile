# xharness on CPUs:
#   docker build -t xharness .
#   docker run --rm xharness demo
# Downloads and results that last: -v xharness-cache:/cache -v "$PWD:/workspace" --user "$(id -u):$(id -g)"
FROM python:3.11-slim

# The CPU build of torch; PyPI's brings CUDA libraries of some gigabytes.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HF_HOME=/cache/huggingface \
    XHARNESS_CACHE=/cache/xharness

WORKDIR /source
COPY constraints.txt ./
# Apart from the sources, so that a change of these does not install torch anew.
RUN pip install -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY harness harness
COPY tasks tasks
COPY model_cards model_cards
COPY leaderboard leaderboard
RUN pip install -c constraints.txt ".[train]" \
    && useradd --create-home --uid 1000 xharness \
    # Also another user than ours (--user) may write there.
    && mkdir /cache /workspace && chmod 777 /cache /workspace \
    && rm -rf /source

USER 1000
WORKDIR /workspace
VOLUME ["/cache"]
ENTRYPOINT ["xharness"]
CMD ["--help"]
