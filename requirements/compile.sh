#!/usr/bin/env bash
# Compiles requirements/*.in to hash-pinned files; needs uv on the PATH. Plain pip installs them.
set -euo pipefail
cd "$(dirname "$0")/.."
for name in build dev; do
  uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 \
     --no-header --no-annotate --no-emit-index-url --no-emit-find-links "requirements/$name.in" -o "requirements/$name.txt"
done
