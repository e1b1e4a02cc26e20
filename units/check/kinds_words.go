package check

import (
	_ "embed"
	"encoding/base64"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
)

func matches(pattern string) func(string) bool {
	return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString
}

var unitKinds = strings.Fields("service socket target device mount automount swap timer path slice scope")

// unitName takes the name of a unit, or of a template.
func unitName(s string) bool { return validName(s) && slices.Contains(unitKinds, kind(s)) }

// ofKind takes the name of a unit of a kind, and of no template.
func ofKind(want string) func(string) bool {
	return func(s string) bool {
		return validName(s) && kind(s) == want && !strings.HasSuffix(base(s), "@")
	}
}

// optional takes what good takes, with or without the prefix.
func optional(prefix string, good func(string) bool) func(string) bool {
	return func(s string) bool { return good(strings.TrimPrefix(s, prefix)) }
}

func absolute(s string) bool { return strings.HasPrefix(s, "/") }

// dashed takes - and + before a path.
func dashed(good func(string) bool) func(string) bool { return optional("-", optional("+", good)) }

// conditionPath takes | and ! before a path.
func conditionPath(s string) bool {
	return normalPath(strings.TrimPrefix(strings.TrimSpace(strings.TrimPrefix(s, "|")), "!"))
}

func colonPath(s string) bool { path, _, _ := strings.Cut(s, ":"); return normalPath(path) }

// bindPath takes SOURCE, SOURCE:TARGET and SOURCE:TARGET:OPTIONS.
func bindPath(s string) bool {
	fields := strings.SplitN(s, ":", 3)
	good := normalPath(strings.TrimPrefix(fields[0], "-"))
	if len(fields) > 1 && fields[1] != "" {
		good = good && normalPath(fields[1])
	}
	return good && (len(fields) < 3 || slices.Contains([]string{"", "rbind", "norbind"}, fields[2]))
}

func searchPath(s string) bool {
	return !slices.ContainsFunc(strings.Split(s, ":"), func(p string) bool { return !normalPath(p) })
}

func rootHash(s string) bool {
	text, ok := strings.CutPrefix(s, "base64:")
	_, err := base64.StdEncoding.DecodeString(text)
	return ok && err == nil || len(s) >= 32 && matches("([0-9a-fA-F]{2})+")(s)
}

// directory takes NAME and NAME:LINK, below the folder that the option is about.
func directory(s string) bool {
	path, link, linked := strings.Cut(s, ":")
	return plainDirectory(path) && (!linked || link == "" || plainDirectory(link))
}

func plainDirectory(s string) bool {
	clean := strings.Trim(s, "./")
	return clean != "" && !strings.HasPrefix(s, "/") && !strings.Contains(s, ":") && !slices.Contains(strings.Split(s, "/"), "..") &&
		s != "private" && !strings.HasPrefix(s, "private/")
}

func url(s string) bool {
	for _, scheme := range []string{"http://", "https://", "file:/", "info:", "man:"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			return rest != ""
		}
	}
	return false
}

var environmentName = matches(`[A-Za-z_][A-Za-z0-9_]*`)

// assignment takes NAME=VALUE.
func assignment(s string) bool {
	name, _, ok := strings.Cut(s, "=")
	return ok && environmentName(name)
}

// busName takes a well-known name of D-Bus.
func busName(s string) bool {
	return len(s) < 256 && strings.Contains(s, ".") && matches(`[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+`)(s)
}

// interfaceName takes the name of a network interface.
func interfaceName(s string) bool {
	return s != "" && len(s) < 16 && s != "." && s != ".." && s != "all" && s != "default" && !strings.ContainsAny(s, ":/%") && !matches("[0-9+]+")(s) && !unsigned(s) &&
		!strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// negatable is a parser of a list that a tilde turns around.
func negatable(good func(string) bool) parser {
	list := each(good)
	return func(s string) reading { return list(strings.TrimPrefix(s, "~")) }
}

var addressFamily = oneOf(strings.Fields(`none AF_UNIX AF_LOCAL AF_FILE AF_INET AF_AX25 AF_IPX AF_APPLETALK AF_NETROM AF_BRIDGE AF_ATMPVC AF_X25 AF_INET6 AF_ROSE AF_DECnet AF_NETBEUI
	AF_SECURITY AF_KEY AF_NETLINK AF_ROUTE AF_PACKET AF_ASH AF_ECONET AF_ATMSVC AF_RDS AF_SNA AF_IRDA AF_PPPOX AF_WANPIPE AF_LLC AF_IB AF_MPLS AF_CAN AF_TIPC AF_BLUETOOTH
	AF_IUCV AF_RXRPC AF_ISDN AF_PHONET AF_IEEE802154 AF_CAIF AF_ALG AF_NFC AF_VSOCK AF_KCM AF_QIPCRTR AF_SMC AF_XDP AF_MCTP`)...)

// systemCallsText lists the system calls that systemd 247 to 262 name in their groups. It
// was made from `systemd-analyze syscall-filter` of the four, and TestOptionsAsSystemd
// compares and writes it as it does options.txt.
//
//go:embed syscalls.txt
var systemCallsText string

var systemCalls = sync.OnceValue(func() map[string]bool {
	all := make(map[string]bool)
	for name := range strings.FieldsSeq(systemCallsText) {
		all[name] = true
	}
	return all
})

// systemCall takes a system call or a group of them, with the error of one that is denied
// behind a colon.
func systemCall(s string) bool {
	call, err, denied := strings.Cut(s, ":")
	if group, ok := strings.CutPrefix(call, "@"); ok && !slices.Contains(systemCallGroups, group) {
		return false
	}
	return (strings.HasPrefix(call, "@") || systemCalls()[call]) && (!denied || errno(err) || integer(0, 4095)(err) || err == "kill")
}

var systemCallGroups = strings.Fields(`default aio basic-io chown clock cpu-emulation debug file-system io-event ipc keyring memlock module mount network-io obsolete pkey privileged
	process raw-io reboot resources sandbox setuid signal swap sync system-service timer known`)

// errno takes the name of an error.
func errno(s string) bool { return slices.Contains(errnoNames, s) }

var errnoNames = strings.Fields(`EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN EWOULDBLOCK ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL
	ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK EDEADLOCK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST
	ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT
	EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
	EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP ENOTSUP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN
	ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE
	ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON`)

// exitName takes a name of an exit status (systemd.exec(5), "Process Exit Codes").
func exitName(s string) bool { return slices.Contains(exitNames, s) }

var exitNames = strings.Fields(`SUCCESS FAILURE INVALIDARGUMENT NOTIMPLEMENTED NOPERMISSION NOTINSTALLED NOTCONFIGURED NOTRUNNING CHDIR NICE FDS EXEC MEMORY LIMITS OOM_ADJUST SIGNAL_MASK STDIN
	STDOUT CHROOT IOPRIO TIMERSLACK SECUREBITS SETSCHEDULER CPUAFFINITY GROUP USER CAPABILITIES CGROUP SETSID CONFIRM STDERR PAM NETWORK NAMESPACE NO_NEW_PRIVILEGES SECCOMP
	SELINUX_CONTEXT PERSONALITY APPARMOR_PROFILE ADDRESS_FAMILIES RUNTIME_DIRECTORY CHOWN SMACK_PROCESS_LABEL KEYRING STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY CONFIGURATION_DIRECTORY
	NUMA_POLICY CREDENTIALS BPF USAGE DATAERR NOINPUT NOUSER NOHOST UNAVAILABLE SOFTWARE OSERR OSFILE CANTCREAT IOERR TEMPFAIL PROTOCOL NOPERM CONFIG EXCEPTION`)

var namespaceNames = strings.Fields("cgroup ipc net mnt pid user uts time")

func namespaces(s string) bool {
	if boolean(s) {
		return true
	}
	for w := range strings.FieldsSeq(strings.TrimPrefix(s, "~")) {
		if !slices.Contains(namespaceNames, w) {
			return false
		}
	}
	return true
}

var architecture = oneOf(strings.Fields(`native x86 x86-64 x32 arm arm64 loongarch64 m68k mips mips64 mips64-n32 mips-le mips64-le mips64-le-n32 parisc parisc64 ppc ppc64 ppc64-le riscv32 riscv64 s390 s390x sh sheb tilegx tile64 cris arc arc-be`)...)

var personality = oneOf("x86", "x86-64")

// ipPrefix takes an address with or without the length of its prefix, or a name for some.
func ipPrefix(s string) bool {
	_, noPrefix := netip.ParsePrefix(s)
	_, noAddress := netip.ParseAddr(s)
	return noPrefix == nil || noAddress == nil || slices.Contains([]string{"any", "localhost", "link-local", "multicast"}, s)
}

// socketBind takes [FAMILY:][PROTOCOL:]PORTS.
func socketBind(s string) bool {
	fields := strings.Split(s, ":")
	if fields[0] == "ipv4" || fields[0] == "ipv6" {
		fields = fields[1:]
	}
	if len(fields) > 0 && (fields[0] == "tcp" || fields[0] == "udp") {
		fields = fields[1:]
	}
	if len(fields) == 0 {
		return true
	}
	low, high, ranged := strings.Cut(fields[0], "-")
	a, ok := unsignedOf(low, 16)
	b, ok2 := unsignedOf(high, 16)
	return len(fields) == 1 && (fields[0] == "any" || ok && (!ranged || ok2 && a <= b))
}

var controllers = strings.Fields("cpu cpuacct cpuset io blkio memory devices pids bpf-firewall bpf-devices bpf-foreign bpf-socket-bind bpf-restrict-network-interfaces")

// delegate takes a boolean or controllers.
func delegate(s string) reading {
	if boolean(s) {
		return taken
	}
	return each(oneOf(controllers...))(s)
}

// deviceAllow takes a device and what may be done with it.
func deviceAllow(s string) bool {
	all, closed := splitWords(s)
	if !closed || len(all) == 0 || len(all) > 2 {
		return false
	}
	device := strings.HasPrefix(all[0], "/dev/") || strings.HasPrefix(all[0], "/run/systemd/inaccessible/") || strings.HasPrefix(all[0], "char-") || strings.HasPrefix(all[0], "block-")
	return device && (len(all) == 1 || matches("[rwm]+")(all[1]))
}

func standardInput(s string) bool {
	path, file := strings.CutPrefix(s, "file:")
	return slices.Contains(strings.Fields("null tty tty-force tty-fail socket data fd"), s) || strings.HasPrefix(s, "fd:") && validFDName(s[3:]) || file && normalPath(path)
}

func standardOutput(s string) bool {
	for _, prefix := range []string{"file:", "append:", "truncate:"} {
		if path, ok := strings.CutPrefix(s, prefix); ok {
			return normalPath(path)
		}
	}
	return slices.Contains(strings.Fields("inherit null tty socket journal journal+console kmsg kmsg+console syslog syslog+console fd"), s) || strings.HasPrefix(s, "fd:") && validFDName(s[3:])
}

var facilities = strings.Fields("kern user mail daemon auth syslog lpr news uucp cron authpriv ftp local0 local1 local2 local3 local4 local5 local6 local7")

func ownNamespaces(s string) bool {
	return namespaces(s) && !slices.Contains(strings.Fields(strings.TrimPrefix(s, "~")), "user")
}

// longInterfaceName takes also an alternative name of an interface.
func longInterfaceName(s string) bool {
	return len(s) < 128 && interfaceName(s[:min(len(s), 15)]) && (len(s) < 16 || interfaceName(s[15:][:min(len(s)-15, 15)]))
}

// refresh takes a boolean or what is to be refreshed.
func refresh(s string) reading {
	if boolean(s) {
		return taken
	}
	return negatable(oneOf("extensions", "credentials"))(s)
}

// openFile takes PATH[:NAME[:OPTIONS]].
func openFile(s string) bool {
	fields := strings.Split(s, ":")
	if len(fields) > 3 || !absolute(fields[0]) {
		return false
	}
	if len(fields) < 3 {
		return true
	}
	for option := range strings.SplitSeq(fields[2], ",") {
		if !slices.Contains([]string{"", "read-only", "append", "truncate", "graceful"}, option) {
			return false
		}
	}
	return true
}

// credentialName reports whether a credential may have this name.
func credentialName(s string) bool {
	return s != "" && len(s) < 256 && s != "." && s != ".." && !strings.ContainsAny(s, "/:")
}

// setCredential takes NAME:VALUE.
func setCredential(s string) bool {
	name, _, ok := strings.Cut(s, ":")
	return ok && credentialName(name)
}

// loadCredential takes NAME and NAME:PATH.
func loadCredential(s string) bool {
	name, _, _ := strings.Cut(s, ":")
	return credentialName(name)
}

// importCredential takes a pattern, and a new name behind a colon.
func importCredential(s string) bool {
	name, _, _ := strings.Cut(s, ":")
	return credentialName(strings.TrimSuffix(name, "*") + "x")
}

// bpfProgram takes TYPE:PATH.
func bpfProgram(s string) bool {
	kind, path, ok := strings.Cut(s, ":")
	return ok && normalPath(path) && slices.Contains(strings.Fields(`ingress egress sock_create sock_ops device bind4 bind6 connect4 connect6 post_bind4 post_bind6 sendmsg4 sendmsg6 sysctl
		recvmsg4 recvmsg6 getsockopt setsockopt`), kind)
}

// coredumpFilter takes names of mappings, or a mask in hexadecimal.
func coredumpFilter(s string) bool {
	for w := range strings.FieldsSeq(s) {
		if !slices.Contains(strings.Fields("private-anonymous shared-anonymous private-file-backed shared-file-backed elf-headers private-huge shared-huge private-dax shared-dax default all"), w) && !matches(`\+?(0x)?[0-9a-fA-F]+`)(w) {
			return false
		}
	}
	return true
}

// cgroupName takes a name that a control group may have.
func cgroupName(s string) bool {
	return s != "" && !strings.HasPrefix(s, ".") && !strings.ContainsAny(s, "/") && len(s) < 256
}

// logNamespace takes a name for a journal.
func logNamespace(s string) bool {
	return len(s) < 128 && !strings.HasPrefix(s, ".") && matches(`[A-Za-z0-9:_.\\@-]+`)(s)
}

// mountImage takes SOURCE:TARGET and options of it.
func mountImage(s string) bool {
	if s == "::" {
		return true
	}
	fields := strings.Split(strings.TrimPrefix(s, "-"), ":")
	return len(fields) >= 2 && normalPath(fields[0]) && normalPath(fields[1])
}

// encoded takes data in base64.
func encoded(s string) bool {
	_, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	return err == nil
}

// sealedCredential takes NAME:DATA, the data in base64.
func sealedCredential(s string) bool {
	name, data, ok := strings.Cut(s, ":")
	return ok && credentialName(name) && data != "" && encoded(data)
}

// fileName takes what may be the name of a file.
func fileName(s string) bool { return s != "" && s != "." && s != ".." && !strings.Contains(s, "/") }

// relativePath takes a path without .., absolute or not.
func relativePath(s string) bool { return !slices.Contains(strings.Split(s, "/"), "..") }
