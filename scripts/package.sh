#!/bin/sh
# Builds what clusters are given:
#   dist/nitamono-VERSION-py3-none-any.whl  the wheel
#   dist/environment.tar.gz                 an environment with it and the locked dependencies, for
#                                           spark-submit's --archives
# The archive holds no interpreter, but a link to one: all hosts need Python of this version under
# the path that is printed. PYTHON_PREFIX=/usr links to /usr/bin/python3.11 instead of that here.
# Spark's jars are left out of it: the cluster has its own.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '%s\n' "package: $*" >&2; }

mkdir -p dist
rm -f dist/nitamono-*.whl dist/environment.tar.gz
say "building the wheel"
.venv/bin/python -m hatchling build -t wheel -d dist >/dev/null
say "installing it and the locked dependencies"
.venv/bin/python -m venv "$work/environment"
pip="$work/environment/bin/python -m pip"
$pip install --quiet --disable-pip-version-check --require-hashes -r requirements-runtime.lock
$pip install --quiet --disable-pip-version-check --no-deps dist/nitamono-*.whl
say "packing"
needed=$(.venv/bin/python scripts/pack_environment.py "$work/environment" \
    "$work/environment.tar.gz" ${PYTHON_PREFIX:+"$PYTHON_PREFIX"})
mv "$work/environment.tar.gz" dist/
say "every host needs $needed"
ls dist/nitamono-*.whl dist/environment.tar.gz
