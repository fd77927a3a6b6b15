#!/bin/sh
# The first process of the virtual machine: makes it look like a host, runs the cases, says how they ended on the
# second serial port, and switches the machine off. What it says on the console is for whoever debugs a boot.
export PATH=/bin HOME=/root TERM=dumb RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts /sys/kernel/tracing /sys/fs/cgroup /sys/fs/bpf
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
mount -t tracefs tracing /sys/kernel/tracing
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
echo 1048576 >/proc/sys/fs/nr_open
ulimit -n 1048576
stty -F /dev/ttyS1 raw
# A host has processes that have nothing to do with a test.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 100000 & done

export WATCHER_BIN=/target/watcher WATCHER_TESTS_REQUIRE=1 WATCHER_TESTS_PROGRAMS=/programs
echo "reached the cases"
filter=$(cat /filter)
/target/vm guest ${filter:+"$filter"} >/dev/ttyS1 2>&1 </dev/null
echo "exit status $?" >/dev/ttyS1
# The port holds what was written last.
stty -F /dev/ttyS1 >/dev/null
sleep 0.2
poweroff -f
