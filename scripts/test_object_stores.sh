#!/bin/sh
# Installs the object stores that slow tests need and that are missing: Azurite, by npm, and
# fake-gcs-server, which go compiles for some minutes. Where that can't be done the tests that need
# them are skipped, or fail if the environment variable CI is set; this script never fails.
set -u

say() { printf '%s\n' "test servers: $*" >&2; }

# They go into a folder of the user's.
folder=${NITAMONO_TEST_SERVERS:-$HOME/.cache/nitamono-test-servers}
log=$(mktemp)
if [ ! -x "$folder/node_modules/.bin/azurite-blob" ]; then
    say "installing Azurite in $folder"
    npm install --silent --no-audit --no-fund --prefix "$folder" azurite@3.37.0 >"$log" 2>&1 ||
        say "Azurite could not be installed ($(tail -n 1 "$log")); tests that need it are skipped"
fi
if [ ! -x "$folder/bin/fake-gcs-server" ]; then
    say "installing fake-gcs-server in $folder"
    GOBIN="$folder/bin" go install github.com/fsouza/fake-gcs-server@v1.56.1 >"$log" 2>&1 ||
        say "fake-gcs-server could not be installed ($(tail -n 1 "$log")); tests that need it are skipped"
fi
rm -f "$log"
exit 0
