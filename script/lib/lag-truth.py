#!/usr/bin/env python3
"""Takes a standby through busy, idle, paused and cut off, and compares the lag that Holdfast shows with the truth.
usage: lag-truth.py URL TOKEN PRIMARY STANDBY SECONDS [METRICS-URL]"""
import json, re, statistics, subprocess, sys, time, urllib.request

url, token, primary, standby, seconds = sys.argv[1:6]
metrics, seconds = (sys.argv[6] if len(sys.argv) > 6 else ""), int(seconds)


class Psql:
    """One session that is kept: starting one for each question would take longer than the answer."""

    def __init__(self, where):
        self.process = subprocess.Popen(["psql", "-AtXq", where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, sql):
        self.process.stdin.write(sql + ";\n\\echo .\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline().strip()) != ".":
            if not line and self.process.poll() is not None:
                sys.exit("psql ended; its message stands above")
            lines.append(line)
        return lines[0] if lines else ""

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def get(path):
    request = urllib.request.Request(url + path, headers={"Authorization": "Bearer " + token})
    return json.load(urllib.request.urlopen(request, timeout=10))


def exported():
    if not metrics:
        return None
    found = re.search(r"^pg_replication_lag(?:_seconds)?(?:{[^}]*})? ([-+.\deE]+)$", urllib.request.urlopen(metrics, timeout=10).read().decode(), re.M)
    return float(found[1]) if found else None


on_primary, on_standby = Psql(primary), Psql(standby)
on_primary.ask("CREATE TABLE bench_heartbeat AS SELECT clock_timestamp() AS at")
heart = None


def beat(on):
    global heart
    if on and heart is None:
        heart = subprocess.Popen(["psql", "-AtXq", primary], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        heart.stdin.write("UPDATE bench_heartbeat SET at = clock_timestamp() \\watch 0.2\n")
        heart.stdin.flush()
    if not on and heart is not None:
        heart.terminate()
        heart.wait()
        heart = None


def truth(idle):
    """How old the newest row is on the standby; of an idle primary nothing is missing as soon as it is the primary's newest."""
    if idle and on_standby.ask("SELECT at FROM bench_heartbeat") == on_primary.ask("SELECT at FROM bench_heartbeat"):
        return 0.0
    return float(on_standby.ask("SELECT extract(epoch FROM clock_timestamp() - at) FROM bench_heartbeat"))


def standby_row():
    page = get("/api/v1/clusters/main/replication")
    # What receives WAL for backups stands there too, and replays nothing.
    return page["sequence"], next((row for row in page["standbys"] if row["name"] == "replica1"), None)


def watch(name, idle=False):
    """One line of the table."""
    seen, errors, theirs, states, shown, true, until = None, [], [], [], None, None, time.monotonic() + seconds
    while time.monotonic() < until:
        sequence, row = standby_row()
        if sequence != seen:
            # The first reading may be from before the change.
            if seen is not None and row is not None:
                true, shown = truth(idle), row["lag_seconds"]
                states.append(row["state"])
                if shown is not None:
                    errors.append(abs(shown - true))
                other = exported()
                if other is not None:
                    theirs.append(abs(other - true))
            seen = sequence
        time.sleep(0.05)
    number = lambda values, pick: f"{pick(values):.2f}" if values else "-"
    print(f"{name:<10} {true if true is not None else float('nan'):>9.2f} {shown if shown is not None else float('nan'):>9.2f} "
          f"{number(errors, statistics.median):>8} {number(errors, max):>8} {number(theirs, statistics.median):>12} {number(theirs, max):>8}  {states[-1] if states else '-'}", flush=True)


print(f"{'state':<10} {'true, s':>9} {'shown, s':>9} {'error':>8} {'worst':>8} {'exporter off':>12} {'worst':>8}  shown as   (errors in s, median and worst over {seconds} s)")
try:
    beat(True)
    time.sleep(8)
    watch("busy")
    beat(False)
    time.sleep(4)
    watch("idle", idle=True)
    # Rows first: what the standby lacks must not seem as old as the idle time.
    beat(True)
    time.sleep(2)
    on_standby.ask("SELECT pg_wal_replay_pause()")
    watch("paused")
    on_standby.ask("SELECT pg_wal_replay_resume()")
    time.sleep(4)
    conninfo = on_standby.ask("SELECT current_setting('primary_conninfo')").replace("'", "''")
    on_standby.ask("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
    on_standby.ask("SELECT pg_reload_conf()")
    watch("cut off")
    on_standby.ask(f"ALTER SYSTEM SET primary_conninfo = '{conninfo}'")
    on_standby.ask("SELECT pg_reload_conf()")
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        row = standby_row()[1]
        if row and row["state"] in ("streaming", "idle") and (row["lag_seconds"] or 0) < 1:
            break
        time.sleep(0.05)
    print(f"shown as caught up {time.monotonic() - begun:.1f} s after it may stream again (PostgreSQL itself tries every 5 s)")
finally:
    beat(False)
    on_primary.end()
    on_standby.end()
