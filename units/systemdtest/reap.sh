# Kills what runs in the cgroup $1 and removes it, once its owner wants that or
# has died in whatever way: standard input ends then. The mounts and the network
# of the processes go with them.
cat >/dev/null
target=$1
tries=0
while [ -d "$target" ]; do
	if [ -e "$target/cgroup.kill" ]; then
		echo 1 >"$target/cgroup.kill"
	else # before Linux 5.14
		for pid in $(find "$target" -name cgroup.procs -exec cat {} +); do
			kill -KILL "$pid"
		done
	fi 2>/dev/null
	find "$target" -depth -type d -exec rmdir {} \; 2>/dev/null
	tries=$((tries + 1))
	if [ -d "$target" ] && [ $tries -ge 1200 ]; then
		echo "cgroup $target cannot be removed, it holds processes" $(cat "$target/cgroup.procs") >&2
		exit 1
	fi
	[ ! -d "$target" ] || sleep 0.05
done
