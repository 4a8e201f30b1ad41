#!/bin/sh
# Installs the programs that tests need besides Python and that are missing: PostgreSQL, redis,
# Chromium, and the shells fish and zsh. Where that can't be done the tests that need them are
# skipped, or fail if the environment variable CI is set; this script never fails.
set -u

say() { printf '%s\n' "test servers: $*" >&2; }

missing=
{ command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1 || missing="$missing postgresql"
{ command -v redis-server || command -v valkey-server; } >/dev/null 2>&1 || missing="$missing redis-server"
{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null 2>&1 ||
    missing="$missing chromium"
for shell in fish zsh; do
    command -v "$shell" >/dev/null 2>&1 || missing="$missing $shell"
done
[ -n "$missing" ] || exit 0

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1
    fi
}

# Debian starts what it installs: no server of the tests' is to stay.
install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root apt-get update -qq || return 1
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy" && ours=1; }
    for package in $missing; do
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" ||
            say "$package could not be installed"
    done
    [ -z "${ours:-}" ] || as_root rm -f "$policy"
}

say "installing$missing"
install >/dev/null || say "not possible here (no root, apt-get or network); tests that need$missing are skipped"
exit 0
