#!/usr/bin/env bash
# process-exporter reports what it may not read as 0, and goes on reporting a group whose last process has ended, with
# a start time in the year 1.
#
# Seen with prometheus-process-exporter 0.7.10 (Debian). Run as a user that may not read another one's descriptors, it
# gives namedprocess_namegroup_open_filedesc 0 and namedprocess_namegroup_worst_fd_ratio 0 for that process, beside a
# right RSS and thread count; scrape_errors and scrape_procread_errors stay 0. After the process has ended all series of
# its group stay: num_procs 0, open_filedesc 0, and namedprocess_namegroup_oldest_start_time_seconds -6.21355968e+10.
#
# So a rule such as "descriptors above 80 % of the limit" can never fire where the exporter lacks rights, and nothing of
# what it serves says so for that group; and time() minus the oldest start time is two thousand years for each program
# that once ran.
#
# Why: the proc package of the exporter keeps zero values of what failed and counts it in
# namedprocess_scrape_partial_errors for the whole host only; a group that is empty is summed over no process, so the
# oldest start is the zero value of time.Time.
#
# It unpacks one Debian package, needs root (it runs a process of another user) and takes some seconds.
set -euo pipefail

folder=$(mktemp -d)
exporter=
watched=
finish() {
    [[ -z $exporter ]] || kill "$exporter" 2>/dev/null || true
    [[ -z $watched ]] || kill "$watched" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
version=0.7.10-3+b5
cd "$folder"
apt-get download --quiet=2 "prometheus-process-exporter=$version" >"$folder/log" 2>&1
dpkg-deb --extract ./*.deb "$folder/root"
chmod 755 "$folder"
program="$folder/root/usr/bin/prometheus-process-exporter"
cp "$(command -v sleep)" "$folder/lodger"
cat >"$folder/groups.yml" <<'YAML'
process_names:
  - comm: [lodger]
YAML
chmod 644 "$folder/groups.yml"
# Ten files more than it needs, opened by root.
bash -c 'for n in 11 12 13 14 15 16 17 18 19 20; do eval "exec $n</dev/null"; done; exec "$0" 600' "$folder/lodger" &
watched=$!
setpriv --reuid=65534 --regid=65534 --clear-groups "$program" -config.path "$folder/groups.yml" \
    -web.listen-address 127.0.0.1:19256 >"$folder/log" 2>&1 &
exporter=$!

value() {
    python3 - "$1" <<'PYTHON'
import sys, time, urllib.request
for attempt in range(50):
    try:
        page = urllib.request.urlopen("http://127.0.0.1:19256/metrics", timeout=5).read().decode()
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("the exporter does not answer")
wanted = sys.argv[1]
print(*(line.split()[-1] for line in page.splitlines() if line.startswith(wanted)))
PYTHON
}
number() { value "namedprocess_namegroup_$1{groupname=\"lodger\""; }

sleep 1
really=$(find "/proc/$watched/fd" -mindepth 1 | wc -l)
read -r processes descriptors ratio threads errors reads <<<"$(number num_procs) $(number open_filedesc) \
$(number worst_fd_ratio) $(number num_threads) $(value namedprocess_scrape_errors) $(value namedprocess_scrape_procread_errors)"
echo "process-exporter $version, as another user: processes $processes, threads $threads, descriptors $descriptors" \
    "(really $really), worst ratio $ratio, scrape errors $errors, read errors $reads"
kill "$watched"
wait "$watched" 2>/dev/null || true
watched=
sleep 1
read -r later started <<<"$(number num_procs) $(number oldest_start_time_seconds)"
echo "after its end: processes ${later:-no series}, oldest start ${started:-no series}"
if [[ "$processes $threads $descriptors $ratio $errors $reads" != "1 1 0 0 0 0" ]] || ((really < 10)) ||
    [[ "$later $started" != "0 -6.21355968e+10" ]]; then
    echo "It is no longer as described." >&2
    exit 1
fi
