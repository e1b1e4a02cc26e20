package check

import (
	"regexp"
	"slices"
	"strings"
)

// A reading is what systemd makes of a value.
type reading int

const (
	taken   reading = iota
	partly          // some words of a list are ignored
	ignored         // what held before holds
)

// A parser reads the values of one kind.
type parser func(value string) reading

// whole is a parser that takes a value or ignores it.
func whole(good func(string) bool) parser {
	return func(s string) reading {
		if good(s) {
			return taken
		}
		return ignored
	}
}

// each is a parser of a list. Words that are not good are ignored, and no others. An
// empty value empties the list.
func each(good func(string) bool) parser {
	return func(s string) reading {
		all, closed := splitWords(s)
		bad := 0
		for _, w := range all {
			if !good(w) {
				bad++
			}
		}
		switch {
		case !closed || bad == len(all) && bad > 0:
			return ignored
		case bad > 0:
			return partly
		}
		return taken
	}
}

// emptied also takes the empty value, which goes back to the default.
func emptied(good func(string) bool) func(string) bool {
	return func(s string) bool { return s == "" || good(s) }
}

// anyOf takes what one of them takes.
func anyOf(all ...func(string) bool) func(string) bool {
	return func(s string) bool {
		return slices.ContainsFunc(all, func(good func(string) bool) bool { return good(s) })
	}
}

func anything(string) bool { return true }

// escaped is a parser of words that may hold the escapes of systemd.syntax(7), and no
// others.
func escaped(list parser) parser {
	return func(s string) reading {
		if strings.Contains(escapes.ReplaceAllString(s, ""), `\`) {
			return ignored
		}
		return list(s)
	}
}

var escapes = regexp.MustCompile(`\\(?:[abfnrtv\\"'s]|x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})`)

// expanding are the kinds of which systemd replaces specifiers before it reads them. In
// others a percent sign is one.
var expanding = func() map[string]bool {
	all := make(map[string]bool)
	for kind := range strings.SplitSeq("UNIT,CONDITION,CONDITION-PATH,PATH,PATHS,MOUNT-PATHS,BIND-PATHS,FILE,STRING,LABEL,ENVIRON,SOCKET,SLICE,SERVICE,SOCKETS,URL,NAME,DIRECTORY,PLAIN-DIRECTORY,CPUS,COMMAND,"+
		"USER,ACCOUNT,CREDENTIAL,LOAD-CREDENTIAL,TEXT,FD-NAME,LOG-FIELDS,INTERFACE,INTERFACES,DEVICE,ENV-NAMES,BUS-NAME,LIMIT,EXTENSIONS,MOUNT-IMAGES,OPEN-FILE,FIFO,PROTECT-HOSTNAME,ROOT-HASH,NETWORKINTERFACE,IMAGE-OPTIONS,NAMESPACE,EXEC-SEARCH,SPECIAL,TEXT,CREDENTIALS,INTERFACE,BPF-PATH,OUTPUT,INPUT,PID-FILE,WORKING,LUO", ",") {
		all[kind] = true
	}
	return all
}()

// specifier is one that systemd knows (systemd.unit(5)), or a percent sign.
var specifier = regexp.MustCompile(`%[aAbBCdDEfgGhHiIjJlLmMnNopPqsStTuUvVwWyY%]`)

// plainKinds are names for those kinds of systemd's whose own names are patterns.
var plainKinds = map[string]string{
	"PATH [...]": "PATHS", "PATH[:PATH[:OPTIONS]] [...]": "BIND-PATHS", "UNIT [...]": "UNIT", "SOCKET [...]": "SOCKET", "MOUNTFLAG [...]": "MOUNTFLAG", "PATH [ARGUMENT [...]]": "COMMAND",
}

// readAs reads a value of a kind.
func readAs(kind, value string) reading {
	parse, ok := parsers[kind]
	if !ok {
		return taken
	}
	if expanding[kind] && strings.Contains(value, "%") {
		if strings.Contains(strings.TrimSuffix(specifier.ReplaceAllString(value, ""), "%"), "%") {
			return ignored
		}
		if value, ok = plainPercents(value); !ok {
			return taken // or not: that is known once the unit is started
		}
	}
	return parse(value)
}

// plainPercents is a value with the percent signs that it stands for. ok is false where
// something else stands behind one.
func plainPercents(value string) (plain string, ok bool) {
	rest := strings.TrimSuffix(strings.ReplaceAll(value, "%%", ""), "%")
	return strings.ReplaceAll(value, "%%", "%"), !strings.Contains(rest, "%")
}

// parsers read the kinds of `systemd --dump-configuration-items`, and those that ofOptions
// tells apart among its OTHER ones and a few that it takes together.
var parsers = map[string]parser{
	"BOOLEAN": whole(boolean), "BOOLEAN-EMPTY": whole(emptied(boolean)),
	"UNSIGNED": whole(unsigned), "INTEGER": whole(integer(-1<<31, 1<<31-1)), "LONG": whole(integer(-1<<63, 1<<63-1)),
	"NICE": whole(emptied(integer(-20, 19))), "OOMSCOREADJUST": whole(emptied(integer(-1000, 1000))),
	"CPUSCHEDPRIO": whole(integer(0, 99)), "IOPRIORITY": whole(emptied(integer(0, 7))), "EXIT-STATUS": whole(emptied(integer(0, 255))), "TTY-SIZE": whole(emptied(unsigned)),
	"SECONDS": whole(timeSpan), "NANOSECONDS": whole(timeSpan), "SECONDS-EMPTY": whole(emptied(timeSpan)), "SECONDS-LONG": whole(emptied(longSpan)),
	"SIZE": whole(size), "LIMIT-BYTES": whole(limit(anyOf(size, oneOf("infinity")))), "LIMIT-COUNT": whole(limit(anyOf(unsigned64, oneOf("infinity")))), "LIMIT-TIME": whole(limit(anyOf(timeSpan, oneOf("infinity")))), "LIMIT-NICE": whole(limit(niceLimit)),
	"MEMORY": whole(emptied(anyOf(size, oneOf("infinity"), percent))), "MEMORY-SOME": whole(emptied(anyOf(nonzero(size), oneOf("infinity"), nonzero(percent)))),
	"TASKS": whole(emptied(anyOf(nonzero(unsigned64), oneOf("infinity"), percent))), "QUOTA": whole(emptied(anyOf(size, oneOf("off"), percent))),
	"PERCENT": whole(emptied(percent)), "CPU-QUOTA": whole(emptied(cpuQuota)),
	"WEIGHT": whole(emptied(integer(1, 10000))), "CPUWEIGHT": whole(emptied(anyOf(oneOf("idle"), integer(1, 10000)))),
	"SHARES": whole(emptied(integer(2, 262144))), "BLOCK-WEIGHT": whole(emptied(integer(10, 1000))),
	"DEVICEWEIGHT": whole(emptied(pair(anything, integer(1, 10000)))), "BLOCK-DEVICEWEIGHT": whole(emptied(pair(anything, integer(10, 1000)))),
	"DEVICELATENCY": whole(emptied(pair(anything, timeSpan))), "BANDWIDTH": whole(emptied(pair(anything, anyOf(size, oneOf("infinity"))))),
	"MODE": whole(mode), "SIGNAL": whole(signal), "STATUS": each(anyOf(integer(0, 255), exitName, signal)), "ERRNO": whole(emptied(anyOf(errno, integer(1, 4095), oneOf("kill")))),
	"LEVEL": whole(anyOf(integer(0, 7), oneOf("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"))), "FACILITY": whole(anyOf(integer(0, 127), oneOf(facilities...))),
	"CPUAFFINITY": whole(cpus), "CPUS": whole(cpus), "NUMA-MASK": whole(anyOf(cpus, oneOf("all"))),

	"UNIT": each(unitName), "SERVICE": whole(ofKind("service")), "SOCKETS": each(emptied(ofKind("socket"))), "SLICE": whole(ofKind("slice")),
	"CONDITION": whole(anything), "CONDITION-PATH": whole(emptied(conditionPath)),
	"PATH": whole(emptied(normalPath)), "FILE": whole(emptied(optional("-", normalPath))), "PATHS": each(dashed(normalPath)), "MOUNT-PATHS": each(colonPath),
	"BIND-PATHS": each(bindPath), "EXEC-SEARCH": whole(emptied(searchPath)), "FIFO": whole(emptied(normalPath)), "ROOT-HASH": whole(emptied(anyOf(absolute, rootHash))),
	"DIRECTORY": escaped(each(directory)), "PLAIN-DIRECTORY": escaped(each(plainDirectory)), "SOCKET": whole(anything), "STRING": whole(anything), "LABEL": whole(anything),
	"URL": each(url), "ENVIRON": escaped(each(assignment)), "LOG-FIELDS": escaped(each(assignment)), "ENV-NAMES": escaped(each(anyOf(environmentName, assignment))), "PASS-NAMES": each(environmentName),
	"BUS-NAME": whole(busName), "NETWORKINTERFACE": whole(emptied(interfaceName)), "INTERFACE": whole(emptied(longInterfaceName)), "INTERFACES": negatable(longInterfaceName),
	"USER": whole(anything), "FD-NAME": whole(validFDName), "FAMILIES": negatable(addressFamily), "SYSCALLS": negatable(systemCall), "NAMESPACES": whole(namespaces), "OWN-NAMESPACES": whole(ownNamespaces),
	"ARCHS": each(architecture), "PERSONALITY": whole(emptied(personality)), "IP-ADDRESSES": each(ipPrefix), "BIND-ALLOW": whole(emptied(socketBind)),
	"CONTROLLERS": each(oneOf(controllers...)), "DELEGATE": delegate, "DEVICE": whole(emptied(deviceAllow)), "INPUT": whole(standardInput), "OUTPUT": whole(standardOutput),

	"DATA": whole(encoded), "TEXT": escaped(whole(anything)), "SEALED": whole(emptied(sealedCredential)), "XATTR": whole(emptied(matches(`[a-z]+\.[^=]+=.*`))), "FILE-NAMES": each(fileName),
	"NFT-SET": each(matches(`(cgroup|user|group):(inet|ip|ip6|arp|bridge|netdev):[A-Za-z][A-Za-z0-9/\\_.]*:[A-Za-z][A-Za-z0-9/\\_.]*`)), "SPECIAL": whole(emptied(normalPath)),
	"COMMAND": commandLine, "PID-FILE": whole(emptied(relativePath)), "WORKING": whole(emptied(anyOf(oneOf("~", "-~"), optional("-", normalPath)))),
	"TOS": whole(emptied(anyOf(integer(0, 255), oneOf("low-delay", "throughput", "reliability", "low-cost")))), "REFRESH": refresh, "OPEN-FILE": whole(emptied(openFile)),
	"CREDENTIAL": whole(emptied(setCredential)), "LOAD-CREDENTIAL": whole(emptied(loadCredential)), "CREDENTIALS": whole(emptied(importCredential)), "BPF-PATH": whole(emptied(bpfProgram)),
	"CORE-FILTER": whole(coredumpFilter), "CGROUP-NAME": whole(emptied(cgroupName)), "NAMESPACE": whole(emptied(logNamespace)),
	"MOUNT-IMAGES": each(mountImage), "EXTENSIONS": each(dashed(colonPath)), "IMAGE-OPTIONS": whole(anything), "PARTITION": whole(emptied(oneOf("member", "root", "isolated"))),
	"IOCLASS": whole(emptied(anyOf(oneOf("none", "realtime", "best-effort", "idle"), integer(0, 7)))), "CPUSCHEDPOLICY": whole(emptied(anyOf(oneOf("other", "batch", "idle", "fifo", "rr", "ext"), oneOf("0", "1", "2", "3", "5", "+5", "6", "7")))),
}

// enums are the kinds of a few words.
var enums = map[string]string{
	"ACCESS": "none main exec all", "ACTION": "none reboot reboot-force reboot-immediate poweroff poweroff-force poweroff-immediate exit exit-force soft-reboot soft-reboot-force kexec kexec-force halt halt-force halt-immediate",
	"SERVICETYPE": "simple exec forking oneshot dbus notify notify-reload idle", "SERVICERESTART": "no always on-success on-failure on-abnormal on-abort on-watchdog",
	"SERVICEEXITTYPE": "main cgroup", "SERVICERESTARTMODE": "normal direct debug", "TIMEOUTMODE": "terminate abort kill",
	"JOB-MODE": "fail replace replace-irreversibly isolate flush ignore-dependencies ignore-requirements triggering restart-dependencies",
	"POLICY":   "auto closed strict", "PROTECT-PROC": "default invisible ptraceable noaccess", "PROC-SUBSET": "all pid", "KEYRING": "inherit private shared",
	"UTMP": "init login user", "OOM-POLICY": "continue stop kill", "OOM-PREFERENCE": "none avoid omit", "COLLECT": "inactive inactive-or-failed", "PROTOCOL": "udplite sctp mptcp", "MEMORY-THP": "inherit disable madvise system",
}

// emptyEnums are those that the empty value sets back.
var emptyEnums = map[string]string{
	"KILLMODE": "control-group process mixed none", "MOUNTFLAG": "shared slave private",
	"NUMA-POLICY": "default preferred bind interleave local", "OOM-MODE": "auto kill",
}

// booleanEnums take booleans too.
var booleanEnums = map[string]string{
	"SOCKETBIND": "default both ipv6-only", "PRIVATE-TMP": "disconnected", "PRIVATE-USERS": "self identity full managed", "PROTECT-HOME": "read-only tmpfs", "PROTECT-SYSTEM": "full strict",
	"PROTECT-CGROUPS": "private strict", "PROTECT-HOSTNAME": "private", "TIMESTAMPING": "off us usec µs μs ns nsec", "PRESSURE-WATCH": "auto on off skip", "PRESERVE": "restart on-success", "STORE-PRESERVE": "restart on-success", "DEFER": "patient", "PRIVATE-PIDS": "",
}

func init() {
	for kind, all := range enums {
		parsers[kind] = whole(oneOf(strings.Fields(all)...))
	}
	for kind, all := range emptyEnums {
		parsers[kind] = whole(emptied(oneOf(strings.Fields(all)...)))
	}
	for kind, all := range booleanEnums {
		parsers[kind] = whole(booleanOr(strings.Fields(all)...))
	}
}
