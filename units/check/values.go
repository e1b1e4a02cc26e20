package check

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/units"
)

// newValues are the values that came later than their options, by option.
var newValues = map[string]map[string]int{
	"Type":                        {"notify-reload": 253},
	"ProtectControlGroups":        {"private": 257, "strict": 257},
	"PrivateTmp":                  {"disconnected": 257},
	"PrivateUsers":                {"self": 257, "identity": 257, "full": 258, "managed": 260},
	"FileDescriptorStorePreserve": {"on-success": 261},
}

// values says which values an option takes that has a single one. Others are as if
// they were not there, and in most so is an empty one: it takes nothing back.
var values = func() map[string]func(string) bool {
	all := maps.Clone(ofKinds)
	for _, name := range strings.Fields(booleans) {
		all[name] = boolean
	}
	return all
}()

// booleans are the options that 247 to 262 read as a boolean and nothing else. Not
// DynamicUser=: see fatal.
const booleans = `
	Accept AcceptFileDescriptors AllowIsolate BlockIOAccounting Broadcast CPUAccounting CPUSchedulingResetOnFork
	CacheDirectoryAccounting CoredumpReceive DefaultDependencies FlushPending FreeBind GuessMainPID
	IOAccounting IPAccounting IgnoreOnIsolate IgnoreSIGPIPE KeepAlive LockPersonality LogsDirectoryAccounting
	MemoryAccounting MemoryDenyWriteExecute MemoryZSwapWriteback NoDelay NoNewPrivileges NonBlocking
	OnFailureIsolate PassCredentials PassFileDescriptorsToExec PassPIDFD PassPacketInfo PassSecurity
	PermissionsStartOnly PrivateDevices PrivateIPC PrivateNetwork ProtectClock ProtectKernelLogs
	ProtectKernelModules ProtectKernelTunables RefuseManualStart RefuseManualStop RemainAfterExit RemoveIPC
	RemoveOnStop RestrictRealtime RestrictSUIDSGID ReusePort RootDirectoryStartOnly RootEphemeral
	SELinuxContextFromNet SendSIGHUP SendSIGKILL StateDirectoryAccounting StopWhenUnneeded SurviveFinalKillSignal
	SyslogLevelPrefix TTYReset TTYVHangup TTYVTDisallocate TasksAccounting Transparent Writable`

// ofKinds are the other options of which the values are known.
var ofKinds = map[string]func(string) bool{
	"Type":         oneOf("simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"),
	"KillMode":     oneOf("", "control-group", "process", "mixed", "none"),
	"Restart":      oneOf("no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"),
	"NotifyAccess": oneOf("none", "main", "exec", "all"),
	"OOMPolicy":    oneOf("continue", "stop", "kill"),
	"BindIPv6Only": booleanOr("default", "both", "ipv6-only"),
	"Backlog":      number, "MaxConnections": number, "MaxConnectionsPerSource": number, "TriggerLimitBurst": number,
	"PollLimitBurst": number, "StartLimitBurst": number, "FileDescriptorStoreMax": number,
	"TimeoutStartSec": timeSpan, "TimeoutStopSec": timeSpan, "TimeoutSec": timeSpan, "RestartSec": timeSpan,
	"StartLimitIntervalSec": timeSpan, "TriggerLimitIntervalSec": timeSpan, "PollLimitIntervalSec": timeSpan, "WatchdogSec": timeSpan,
	"PrivateTmp": booleanOr("disconnected"), "PrivateUsers": booleanOr("self", "identity", "full", "managed"),
	"ProtectHome": booleanOr("read-only", "tmpfs"), "ProtectSystem": booleanOr("full", "strict"),
	"KillSignal": some, "RestartKillSignal": some, "ReloadSignal": some, "StandardInput": some,
	"LimitNOFILE": some, "RuntimeDirectoryPreserve": some, "ReceiveBuffer": some, "BusName": some,
	"Service":              func(s string) bool { return strings.HasSuffix(s, ".service") },
	"ProtectControlGroups": booleanOr("private", "strict"), "FileDescriptorStorePreserve": some,
}

// readable reports whether systemd takes the value of an option.
func readable(o units.Option) bool {
	good := values[o.Name]
	return good == nil || good(o.Value) || strings.Contains(o.Value, "%")
}

func oneOf(all ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(all, s) }
}

// booleanOr takes booleans and these.
func booleanOr(all ...string) func(string) bool {
	return func(s string) bool { return boolean(s) || slices.Contains(all, s) }
}

func some(s string) bool     { return s != "" }
func number(s string) bool   { _, err := strconv.ParseUint(s, 0, 32); return err == nil }
func timeSpan(s string) bool { _, ok := parseSpan(s); return ok }
func boolean(s string) bool  { _, ok := parseBool(s); return ok }

// fatal reports whether systemd gives up on a file at the value of o: of a few options
// it ignores none. What has a specifier in it is known only later.
func fatal(o units.Option) bool {
	v := o.Value
	if !slices.Contains(knownOptions()[o.Name].sections, o.Section) || strings.Contains(v, "%") {
		return false
	}
	switch o.Name {
	case "DynamicUser":
		return !boolean(v)
	case "WorkingDirectory":
		return v != "" && v != "~" && !strings.HasPrefix(v, "-") && !normalPath(v)
	case "RootDirectory", "RootImage", "RootVerity":
		return v != "" && !normalPath(v)
	case "User", "Group":
		return !account(v)
	case "SupplementaryGroups":
		return slices.ContainsFunc(words(v), func(group string) bool { return !account(group) })
	}
	if !strings.HasPrefix(o.Name, "Exec") {
		return false
	}
	_, closed := splitWords(v)
	all := parseCommands(v)
	return slices.ContainsFunc(all, func(c command) bool {
		program := c.args[0]
		return (program == "" || strings.Contains(program, "/") && !strings.HasPrefix(program, "/")) && !c.optional()
	}) || !closed && len(all) > 0 && !all[len(all)-1].optional()
}

// optional reports whether a dash stands before a command line: systemd ignores what
// is wrong with it.
func (c command) optional() bool { return strings.Contains(c.prefix, "-") }

// normalPath reports whether systemd takes s for a path: an absolute one, without ..
func normalPath(s string) bool {
	return strings.HasPrefix(s, "/") && !slices.Contains(strings.Split(s, "/"), "..")
}

// account reports whether systemd takes s for the name of a user or a group, or for its
// number.
func account(s string) bool { return s != "-1" && !strings.ContainsAny(s, ":/") }
