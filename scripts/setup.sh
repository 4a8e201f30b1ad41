#!/bin/sh
# Makes .venv with the locked dependencies and .venv/bin/nitamono, sees to Java 17+, and archives
# Spark's classes.
# Does nothing that is done already. PYTHON=... chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1
    fi
}

apt_refreshed=
apt_install() {
    [ -n "$apt_refreshed" ] || as_root apt-get update -qq >&2 || return 1
    apt_refreshed=1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

good_python() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.13 python3.12 python3.11; fi
    for candidate in "$@"; do
        if good_python "$candidate"; then printf '%s' "$candidate"; return; fi
    done
    die "Python 3.11 or later is needed; install it, or name it: make setup PYTHON=/path/to/python3.12"
}

make_venv() {
    python=$(find_python)
    "$python" -m venv --clear .venv >/dev/null 2>&1 && [ -x .venv/bin/pip ] && return
    # Debian keeps venv's pip in a package of its own.
    if command -v apt-get >/dev/null 2>&1; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        say "installing python$version-venv"
        apt_install "python$version-venv" || say "that did not work"
    fi
    "$python" -m venv --clear .venv || die "$python can't make a virtual environment; install its venv module"
}

# Java counts if it starts, is new enough, and has the module that Spark asks for.
good_java() {
    java=java
    [ -z "${JAVA_HOME:-}" ] || java=$JAVA_HOME/bin/java
    command -v "$java" >/dev/null 2>&1 || return 1
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ] && "$java" --list-modules 2>/dev/null | grep -q '^jdk.incubator.vector'
}

install_java() {
    if command -v apt-get >/dev/null 2>&1; then
        # Slim images lack the folder that the package's scripts link manual pages into.
        as_root mkdir -p /usr/share/man/man1 || return 1
        apt_install openjdk-21-jre-headless || apt_install openjdk-17-jre-headless
    elif command -v dnf >/dev/null 2>&1; then
        as_root dnf install -y -q java-21-openjdk-headless || as_root dnf install -y -q java-17-openjdk-headless
    elif command -v apk >/dev/null 2>&1; then
        as_root apk add -q openjdk17-jre-headless bash
    elif command -v brew >/dev/null 2>&1; then
        brew install -q openjdk@21
    else
        return 1
    fi
}

see_to_java() {
    good_java && return
    if [ -n "${JAVA_HOME:-}" ]; then
        die "JAVA_HOME is $JAVA_HOME: no complete Java 17 or later is there; correct or unset it"
    fi
    say "no Java 17 or later found; installing one"
    install_java || true
    hash -r
    good_java || die "install Java 17 or later (a full JRE such as openjdk-17-jre-headless), with java on PATH or JAVA_HOME set; then run make again"
}

# The stamp names what the environment was made from.
stamp=.venv/.made-from-$( (cat requirements.lock pyproject.toml scripts/setup.sh; pwd) | cksum | tr ' ' '-')
if [ ! -e "$stamp" ] || ! .venv/bin/python -c 'import pipeline' 2>/dev/null; then
    # An environment made elsewhere, or by a Python that is gone, is made anew.
    .venv/bin/pip --version >/dev/null 2>&1 || { say "making .venv"; make_venv; }
    say "installing the dependencies"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
    rm -f .venv/.made-from-*
    : > "$stamp"
fi
see_to_java
# Not needed, but with it Spark starts in half the time.
.venv/bin/python -m pipeline.spark.class_archive || say "Spark's classes are not archived; all works without it"
