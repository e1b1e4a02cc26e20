# Ends a machine once standard input ends, which it does when its owner closes
# it or dies in whatever way: kills what runs in the cgroup given as $1 and
# removes that cgroup and those below it. The mounts go with the processes.
cat >/dev/null
group=$1
i=0
while [ -d "$group" ]; do
	if [ -e "$group/cgroup.kill" ]; then
		echo 1 >"$group/cgroup.kill"
	else
		find "$group" -name cgroup.procs -exec cat {} + | xargs -r kill -KILL
	fi 2>/dev/null
	find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
	[ -d "$group" ] || break
	i=$((i + 1))
	if [ $i -gt 600 ]; then
		echo "cgroup $group cannot be removed" >&2
		exit 1
	fi
	sleep 0.05
done
