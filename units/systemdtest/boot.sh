# Turns a fresh set of namespaces into a machine and becomes its systemd.
# Runs as PID 1 of those namespaces, in the machine's cgroup, with every mount
# private. Arguments: the root folder and the terminal that becomes
# /dev/console. Exits with 77 where the host does not let it mount.
set -eu
umask 022
root=$1 console=$2

# The tmpfs hides /tmp in this mount namespace only. Root is reached by the
# working directory, so that it may lie in /tmp and hold any character.
cd "$root"
mount -t tmpfs -o mode=0755 holdfast /tmp || exit 77
mkdir /tmp/upper /tmp/work /tmp/root
mount -t overlay -o lowerdir=.,upperdir=/tmp/upper,workdir=/tmp/work holdfast /tmp/root || exit 77
cd /tmp/root

# A root that does not do as one is the test's mistake.
systemd=
for f in usr/lib/systemd/systemd lib/systemd/systemd; do
	if [ -x "$f" ]; then systemd=/$f units=${f%/systemd}/system; break; fi
done
if [ -z "$systemd" ]; then
	echo "no systemd in $root: neither usr/lib/systemd/systemd nor lib/systemd/systemd" >&2
	exit 1
fi
if ! [ -e usr/bin/umount ] && ! [ -e bin/umount ]; then
	echo "no umount in $root: install util-linux there (Debian's package is called mount)" >&2
	exit 1
fi

# What the root's owner has configured and enabled is not part of the machine.
# An empty folder here hides it, and costs nothing below the overlay.
rm -rf etc/systemd
mkdir -p etc/systemd/system
ln -s "/$units/basic.target" etc/systemd/system/default.target
cat >etc/systemd/journald.conf <<-EOF
	[Journal]
	Storage=volatile
	RateLimitIntervalSec=0
	ReadKMsg=no
EOF
# One would read the host's audit log, the other load modules into its kernel.
ln -s /dev/null etc/systemd/system/systemd-journald-audit.socket
ln -s /dev/null etc/systemd/system/modprobe@.service
# Generators would bring in mounts from fstab, terminals and old init scripts.
mkdir etc/systemd/system-generators
for f in usr/lib/systemd/system-generators/* lib/systemd/system-generators/* usr/local/lib/systemd/system-generators/*; do
	[ ! -e "$f" ] || ln -sf /dev/null "etc/systemd/system-generators/${f##*/}"
done
# What the vendor's targets pull in is for hardware, but for these few.
for f in "$units"/sysinit.target.wants/* "$units"/basic.target.wants/* "$units"/sockets.target.wants/* "$units"/timers.target.wants/*; do
	case ${f##*/} in
	systemd-journald.service | systemd-journald.socket | systemd-journald-dev-log.socket | systemd-tmpfiles-setup.service | dbus.socket) ;;
	*) rm -f "$f" ;;
	esac
done

rm -f etc/machine-id etc/hostname etc/hosts
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
echo holdfast >etc/hostname
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 holdfast\n' >etc/hosts

mkdir -p proc sys dev run tmp
mount -t proc -o nosuid,nodev,noexec proc proc
# Only the network's settings are the machine's own; the others are the host's.
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs run
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs tmp
mount -t tmpfs -o nosuid,mode=0755 tmpfs dev
for n in null zero full random urandom tty; do
	: >dev/$n
	mount --bind /dev/$n dev/$n
done
: >dev/console
mount --bind "$console" dev/console
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue dev/mqueue
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr

mkdir tmp/.old
pivot_root . tmp/.old
umount -l /tmp/.old
rmdir /tmp/.old
exec env -i container=holdfast TERM=dumb SYSTEMD_COLORS=0 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	"$systemd" --show-status=yes
