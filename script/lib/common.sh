# Shared by the scripts: where things are, and how steps are told. Sourced, never run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

say() { printf '==> %s\n' "$*" >&2; }
note() { printf '    %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

# One cache of builds for all clones and for CI: it survives a fresh clone.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/holdfast
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
# What setup fetches that is not installed by a package manager. Servers run as another user than root must read it.
if is_root; then tools=${HOLDFAST_TOOLS:-/var/cache/holdfast}; else tools=${HOLDFAST_TOOLS:-$cache}; fi
export HOLDFAST_TOOLS=$tools

# Selects the Rust toolchain that has the wasm target, once setup has found or made it.
use_rust() {
  local env=$cache/rust.env
  # shellcheck disable=SC1090
  if [ -f "$env" ]; then . "$env"; fi
}

# apt_install PACKAGE…: only where that works without asking.
apt_install() {
  have apt-get || return 1
  is_root || return 1
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 2>/dev/null ||
    { apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2; }
}

chromium_path() {
  local candidate
  for candidate in "${HOLDFAST_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    [ -n "$candidate" ] && have "$candidate" && { command -v "$candidate"; return 0; }
  done
  return 1
}
