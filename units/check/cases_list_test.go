package check

import (
	"slices"
	"strings"
	"time"
)

// moment is long enough for what a mended pair must bear that is not about time.
const moment = 300 * time.Millisecond

func cases() []ruleCase {
	return slices.Concat(syntaxCases, socketCases, acceptCases, pairCases, processCases, pidFileCases, storeCases, startCases, nameCases, handoffdCases)
}

var syntaxCases = []ruleCase{
	{rule: "unit-broken", base: "plain", bad: files{"app.service": "[Service\nExecStart=/usr/local/bin/app\n"}, mended: files{}, lost: asks},
	{rule: "unit-broken", base: "plain", bad: files{"app.service": strings.Replace(good["plain"]["app.service"], "=/usr/local/", "=", 1)}, mended: files{}, lost: asks},
	{rule: "unit-broken", base: "plain", bad: files{"app.service": good["plain"]["app.service"] + "DynamicUser=maybe\n"}, mended: files{}, lost: asks},
	{rule: "unit-refused", base: "plain", bad: dropIn("app.service", "[Service]\nPAMName=other\nKillMode=process")},
	{rule: "unit-refused", base: "plain", bad: dropIn("app.service", "[Service]\nExecStart=/usr/local/bin/app"), lost: asks},
	{rule: "unit-refused", base: "accept", bad: dropIn("app.socket", "[Socket]\nMaxConnections=0"), lost: asks},
	{rule: "ignore-comment", base: "plain", bad: dropIn("app.service", "[Service]\n# check: ignore start-fails\nNice=1")},
	{rule: "line-ignored", base: "plain", bad: dropIn("app.service", "[Service]\nRestart on-failure")},
	{rule: "line-ignored", base: "plain", bad: dropIn("app.service", "[Service]\nDynamicUser=maybe\nKillMode=none")},
	{rule: "unknown-section", base: "plain", bad: dropIn("app.service", "[Services]\nRestart=on-failure")},
	{rule: "unknown-option", base: "plain", bad: dropIn("app.service", "[Service]\nRestarts=on-failure")},
	{rule: "wrong-section", base: "plain", bad: dropIn("app.service", "[Service]\nDescription=app"), mended: files{}},
	{rule: "option-too-new", base: "plain", bad: dropIn("app.socket", "[Socket]\nPollLimitBurst=20"), systemd: 254},
	{rule: "option-gone", base: "plain", bad: dropIn("app.service", "[Service]\nCPUShares=20"), systemd: 262},
	{rule: "value-too-new", base: "plain", bad: dropIn("app.service", "[Service]\nProtectControlGroups=strict"), systemd: 256},
	{rule: "bad-value", base: "plain", bad: dropIn("app.service", "[Service]\nRestart=sometimes")},
}

var socketCases = []ruleCase{
	{rule: "no-listen", base: "plain", bad: dropIn("app.socket", "[Socket]\nListenStream="), lost: asks},
	{rule: "listen-invalid", base: "plain", bad: dropIn("app.socket", "[Socket]\nListenStream=\nListenStream=localhost:8080"), lost: asks},
	{rule: "listen-twice", base: "plain", bad: dropIn("app.socket", "[Socket]\nListenStream=0.0.0.0:8080"), lost: asks},
	{rule: "listen-twice", base: "plain", bad: dropIn("app.socket", "[Socket]\nListenStream=\nListenStream=/run/app.sock\nListenSequentialPacket=/run/app.sock"),
		mended: dropIn("app.socket", "[Socket]\nListenStream=\nListenStream=/run/app.sock"), lost: asksAt("unix", "/run/app.sock")},
	{rule: "reuse-port", base: "plain", bad: files{
		"app.socket.d/test.conf": "[Socket]\nReusePort=yes\n",
		"second.socket":          "[Socket]\nListenStream=8080\nReusePort=yes\n",
		"second.service":         "[Unit]\nStartLimitIntervalSec=0\nWants=second.socket\n[Service]\nType=notify\nExecStart=/usr/local/bin/app\nRestart=on-failure\nRestartSec=1\n",
	}},
	{rule: "flush-pending", base: "plain", bad: dropIn("app.socket", "[Socket]\nFlushPending=yes"), lost: duringStop("stop")},
	{rule: "backlog-capped", base: "plain", bad: dropIn("app.socket", "[Socket]\nBacklog=5000")},
	{rule: "backlog-small", base: "plain", bad: dropIn("app.socket", "[Socket]\nBacklog=5")},
	{rule: "address-not-yet", base: "plain", bad: dropIn("app.socket", "[Socket]\nListenStream=\nListenStream=192.0.2.7:8080"), lost: beforeAddress("192.0.2.7")},
	{rule: "socket-private-network", base: "plain", bad: dropIn("app.socket", "[Socket]\nPrivateNetwork=yes"), lost: asks},
	{rule: "socket-user-dynamic", base: "plain", bad: files{
		"app.service.d/test.conf": "[Service]\nDynamicUser=yes\n",
		"app.socket.d/test.conf":  "[Socket]\nListenStream=\nListenStream=/run/app.sock\nSocketUser=app\n",
	}, lost: asksAt("unix", "/run/app.sock")},
	{rule: "user-low-port", base: "plain", bad: dropIn("app.socket", "[Socket]\nListenStream=\nListenStream=80"), user: true, mended: dropIn("app.socket", "[Socket]\nListenStream=\nListenStream=8080"), lost: asksUser},
	{rule: "fd-name-invalid", base: "plain", bad: dropIn("app.socket", "[Socket]\nFileDescriptorName=a:b")},
	{rule: "datagram-buffer", base: "plain", bad: dropIn("app.socket", "[Socket]\nListenDatagram=8125")},
	{rule: "trigger-limit", base: "accept", bad: dropIn("app.socket", "[Socket]\nTriggerLimitIntervalSec=2s"), systemd: 252},
}

var acceptCases = []ruleCase{
	{rule: "accept-not-stream", base: "accept", bad: dropIn("app.socket", "[Socket]\nListenDatagram=8125"), mended: files{}, lost: asks},
	{rule: "accept-service", base: "accept", bad: files{
		"app.socket.d/test.conf": "[Socket]\nService=app@1.service\n",
	}, mended: files{}, lost: asks},
	{rule: "accept-without-template", base: "accept", bad: files{
		"app@.service": "", "app.service": good["plain"]["app.service"],
	}, mended: files{}, lost: asks},
	{rule: "accept-restart", base: "accept", bad: dropIn("app@.service", "[Service]\nRestart=on-failure")},
	{rule: "accept-store", base: "accept", bad: dropIn("app@.service", "[Service]\nFileDescriptorStoreMax=1")},
	{rule: "accept-max-connections", base: "accept", bad: files{"app.socket": strings.Replace(good["accept"]["app.socket"], "MaxConnections=256\n", "", 1)}, mended: files{}},
	{rule: "max-connections-ignored", base: "plain", bad: dropIn("app.socket", "[Socket]\nMaxConnections=5")},
	{rule: "fd-name-accept", base: "accept", bad: dropIn("app.socket", "[Socket]\nFileDescriptorName=app"), systemd: 256},
}

var pairCases = []ruleCase{
	{rule: "socket-without-service", base: "plain", bad: files{"app.socket.d/test.conf": "[Socket]\nService=application.service\n", "app.service": ""}, mended: files{}, lost: asks},
	{rule: "service-masked", base: "plain", bad: files{"app.service": masked}, mended: files{}, lost: asks},
	{rule: "socket-missing", base: "plain", bad: dropIn("app.service", "[Service]\nSockets=other.socket"),
		mended: files{"other.socket": "[Socket]\nListenStream=8081\nService=app.service\n", "app.service.d/test.conf": "[Service]\nSockets=other.socket\n"}, lost: asksService("127.0.0.1:8081")},
	{rule: "socket-stops-with-service", base: "plain", bad: dropIn("app.socket", "[Unit]\nPartOf=app.service"), lost: duringStop("restart")},
	{rule: "service-stops-with-socket", base: "plain", bad: dropIn("app.service", "[Unit]\nRequires=app.socket")},
	{rule: "socket-conflicts", base: "plain", bad: files{ // with Wants= it is not defined which of the two holds
		"app.service": withoutWants(good["plain"]["app.service"]), "app.socket.d/test.conf": "[Unit]\nConflicts=app.service\n",
	}, mended: files{"app.service": withoutWants(good["plain"]["app.service"])}, lost: asksTwice},
	{rule: "runtime-directory-removes-socket", base: "plain", bad: files{
		"app.socket.d/test.conf":  "[Socket]\nListenStream=\nListenStream=/run/app/sock\n",
		"app.service.d/test.conf": "[Service]\nRuntimeDirectory=app\n",
	}, lost: asksAgain("unix", "/run/app/sock")},
	{rule: "remain-after-exit", base: "plain", bad: dropIn("app.service", "[Service]\nRemainAfterExit=yes"), lost: afterExit},
	{rule: "stop-when-unneeded", base: "plain", bad: dropIn("app.service", "[Unit]\nStopWhenUnneeded=yes"), lost: stays(moment)},
	{rule: "stdin-several", base: "plain", bad: files{
		"app.service.d/test.conf": "[Service]\nStandardInput=socket\n",
		"app.socket.d/test.conf":  "[Socket]\nListenStream=8081\n",
	}, lost: asks},
	{rule: "fd-name-twice", base: "plain", bad: files{
		"app.socket.d/test.conf": "[Socket]\nFileDescriptorName=app\n",
		"other.socket":           "[Socket]\nListenStream=8081\nFileDescriptorName=app\nService=app.service\n",
	}},
	{rule: "socket-shared", base: "plain", bad: files{
		"other.service": "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nSockets=app.socket\nNonBlocking=yes\nExecStart=/usr/local/bin/app\n",
	}},
	{rule: "ip-filter-bypassed", base: "plain", bad: dropIn("app.service", "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost")},
}

var processCases = []ruleCase{
	{rule: "type-simple", base: "plain", bad: dropIn("app.service", "[Service]\nType=exec")},
	{rule: "sockets-to-child", base: "plain", bad: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/bin/sh -c 'true; /usr/local/bin/app; true'"),
		mended: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/bin/sh -c 'true; exec /usr/local/bin/app'"), lost: asks},
	{rule: "sockets-to-child", base: "plain", bad: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/usr/bin/timeout 1h /usr/local/bin/app"),
		mended: dropIn("app.service", "[Service]\nRuntimeMaxSec=1h"), lost: asks},
	{rule: "notify-child", base: "plain", bad: files{"app.socket": "", "app.service": "[Service]\nType=notify\nTimeoutStartSec=1\nExecStart=/bin/sh -c 'true; /usr/local/bin/app -listen 127.0.0.1:8080; true'\n"},
		mended: files{"app.socket": "", "app.service": "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'true; /usr/local/bin/app -listen 127.0.0.1:8080; true'\n"}, lost: stays(2 * time.Second)},
	{rule: "notify-access-none", base: "plain", bad: dropIn("app.service", "[Service]\nNotifyAccess=none")},
	{rule: "notify-no-unix", base: "plain", bad: dropIn("app.service", "[Service]\nTimeoutStartSec=1\nRestrictAddressFamilies=AF_INET AF_INET6"),
		mended: dropIn("app.service", "[Service]\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX"), lost: stays(2 * time.Second)},
	{rule: "kill-mode-none", base: "plain", bad: dropIn("app.service", "[Service]\nKillMode=none")},
	{rule: "kill-signal", base: "plain", bad: dropIn("app.service", "[Service]\nKillSignal=SIGKILL"), lost: underWay(moment)},
	{rule: "exec-stop-kills", base: "plain", bad: dropIn("app.service", "[Service]\nExecStop=/bin/kill -9 $MAINPID"), lost: underWay(moment)},
	{rule: "exec-stop-signals", base: "plain", bad: dropIn("app.service", "[Service]\nExecStop=/bin/kill -s QUIT $MAINPID")},
	{rule: "exec-stop-signals", base: "handoffd", bad: dropIn("app.service", "[Service]\nExecStop=/bin/kill -s QUIT $MAINPID")},
	{rule: "reload-async", base: "plain", bad: dropIn("app.service", "[Service]\nExecReload=/bin/kill -HUP $MAINPID")},
	{rule: "reload-twice", base: "plain", bad: dropIn("app.service", "[Service]\nType=notify-reload\nExecReload=/usr/local/bin/ctl reload")},
	{rule: "reload-signal-ignored", base: "plain", bad: dropIn("app.service", "[Service]\nReloadSignal=SIGUSR1")},
	{rule: "stop-timeout", base: "plain", bad: dropIn("app.service", "[Service]\nTimeoutStopSec=5\nExecStart=\nExecStart=/usr/bin/gunicorn app:app")},
	{rule: "credentials-stale", base: "plain", bad: dropIn("app.service", "[Service]\nLoadCredential=key:/etc/key\nExecReload=/usr/local/bin/ctl reload"), systemd: 262},
	{rule: "credentials-stale", base: "plain", bad: dropIn("app.service", "[Service]\nLoadCredential=key:/etc/key\nExecReload=/usr/local/bin/ctl reload"), systemd: 252},
	{rule: "stop-timeout", base: "plain", bad: dropIn("app.service", "[Service]\nTimeoutStopSec=1\nExecStart=\nExecStart=/usr/local/bin/app -drain-timeout 20s"), lost: underWay(1500 * time.Millisecond)},
}

var pidFileCases = []ruleCase{
	{rule: "pid-file-missing", base: "plain", bad: dropIn("app.service", unicorn), mended: dropIn("app.service", unicorn+"\nPIDFile=/run/unicorn.pid"), lost: replaces},
	{rule: "pid-file-missing", base: "plain", bad: dropIn("app.service", "[Service]\nType=exec\nExecStart=\nExecStart=/usr/bin/ruby /usr/local/bin/unicorn\n# check: ignore type-simple because it says nothing\nType=exec\nExecReload=/bin/kill -s USR2 $MAINPID"),
		mended: dropIn("app.service", unicorn+"\nPIDFile=/run/unicorn.pid")},
	{rule: "handoffd-pid-file", base: "handoffd", bad: dropIn("app.service", "[Service]\nWatchdogSec=5\nPIDFile=/run/app.pid\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/app -pid-file /run/app.pid"), lost: adopted},
}

// unicorn is a program that replaces itself. Its ExecReload= returns at once: that is
// another matter.
const unicorn = "[Service]\nExecStart=\nExecStart=/usr/local/bin/unicorn -pid-file /run/unicorn.pid\n# check: ignore reload-async because unicorn says nothing when it is done\nExecReload=/bin/kill -USR2 $MAINPID"

var storeCases = []ruleCase{
	{rule: "store-restart-no", base: "plain", bad: dropIn("app.service", "[Service]\nRestart=no\nFileDescriptorStoreMax=16\nExecStart=\nExecStart=/usr/local/bin/app -store"), lost: outlives(1)},
	{rule: "store-start-limit", base: "plain", bad: dropIn("app.service", "[Unit]\nStartLimitIntervalSec=30\n[Service]\nFileDescriptorStoreMax=16\nRestart=on-failure\nRestartSec=0\nExecStart=\nExecStart=/usr/local/bin/app -store"),
		mended: dropIn("app.service", "[Service]\nFileDescriptorStoreMax=16\nRestart=on-failure\nRestartSec=0\nExecStart=\nExecStart=/usr/local/bin/app -store"), lost: outlives(5)},
	{rule: "store-preserve-ignored", base: "plain", bad: dropIn("app.service", "[Service]\nRestart=on-failure\nFileDescriptorStorePreserve=yes")},
	{rule: "store-large", base: "plain", bad: dropIn("app.service", "[Service]\nRestart=on-failure\nFileDescriptorStoreMax=8192")},
}

const (
	handoffdStart = "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run "
	program       = " -- /usr/local/bin/app"
)

var handoffdCases = []ruleCase{
	{rule: "handoffd-no-sockets", base: "handoffd", bad: files{"app.socket": "", "app.service.d/test.conf": "[Unit]\nDocumentation=man:app(8)\n"}, mended: files{}, lost: asksService("127.0.0.1:8080")},
	{rule: "handoffd-listen", base: "handoffd", bad: files{"app.socket": "", "app.service.d/test.conf": handoffdStart + "--listen app=8080" + program + "\n"}, mended: files{}, lost: duringStop("restart")},
	{rule: "handoffd-private-network", base: "handoffd", bad: files{"app.socket": "", "app.service.d/test.conf": "[Service]\nPrivateNetwork=yes\n" + handoffdStart + "--listen app=8080" + program + "\n"}, mended: files{}, lost: asksService("127.0.0.1:8080")},
	{rule: "handoffd-low-port", base: "handoffd", bad: files{"app.socket": "", "app.service.d/test.conf": "[Service]\nDynamicUser=yes\n" + handoffdStart + "--listen app=80" + program + "\n"},
		mended: dropIn("app.socket", "[Socket]\nListenStream=80"), lost: asksService("127.0.0.1:80")},
	{rule: "handoffd-listen-ignored", base: "handoffd", bad: dropIn("app.service", handoffdStart+"--listen app=8080"+program)},
	{rule: "handoffd-socket-not-wanted", base: "handoffd", bad: files{"app.service": withoutWants(good["handoffd"]["app.service"])}, lost: asksService("127.0.0.1:8080")},
	{rule: "handoffd-type", base: "handoffd", bad: dropIn("app.service", "[Service]\nType=forking\nTimeoutStartSec=1"), mended: files{}, lost: stays(2 * time.Second)},
	{rule: "handoffd-oneshot", base: "handoffd", bad: dropIn("app.service", "[Service]\nType=oneshot")},
	{rule: "handoffd-stdin", base: "handoffd", bad: dropIn("app.service", "[Service]\nStandardInput=socket"), lost: asks},
	{rule: "handoffd-compat-non-blocking", base: "handoffd", bad: dropIn("app.service", handoffdStart+"--compat server-starter"+program)},
	{rule: "handoffd-compat-non-blocking", base: "handoffd", bad: dropIn("app.service", handoffdStart+"--compat=einhorn"+program)},
	{rule: "handoffd-accept", base: "handoffd", bad: files{
		"app.socket.d/test.conf": "[Socket]\nAccept=yes\nMaxConnections=256\nTriggerLimitIntervalSec=0\n",
		"app.service":            "",
		"app@.service":           strings.NewReplacer("FileDescriptorStoreMax=16\n", "", "Restart=on-failure\n", "").Replace(good["handoffd"]["app.service"]),
	}, mended: files{}},
	{rule: "handoffd-stop-signal", base: "handoffd", bad: dropIn("app.service", "[Service]\nKillMode=\n"+handoffdStart+"--stop-signal SIGUSR2"+program+" -drain-signal 12"), lost: underWay(moment)},
	{rule: "handoffd-kill-mode", base: "handoffd", bad: dropIn("app.service", "[Service]\nKillMode=process")},
	{rule: "handoffd-kill-signal", base: "handoffd", bad: dropIn("app.service", "[Service]\nKillSignal=SIGQUIT"), lost: underWay(moment)},
	{rule: "handoffd-reload-signal", base: "handoffd", bad: dropIn("app.service", "[Service]\nType=notify-reload\nExecReload=\nReloadSignal=SIGUSR2")},
	{rule: "handoffd-store", base: "handoffd", bad: dropIn("app.service", "[Service]\nFileDescriptorStoreMax=0\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/app -store"), lost: kept},
	{rule: "handoffd-no-reload", base: "handoffd", bad: dropIn("app.service", "[Service]\nExecReload=")},
	{rule: "handoffd-reload-ignored", base: "handoffd", bad: dropIn("app.service", "[Service]\nExecReload=\nExecReload=-/usr/local/bin/handoffd reload")},
	{rule: "handoffd-control", base: "handoffd", bad: dropIn("app.service", "[Service]\nRuntimeDirectory=")},
	{rule: "handoffd-delegate", base: "handoffd", bad: dropIn("app.service", "[Service]\nDelegate=no")},
	{rule: "handoffd-cgroups-protected", base: "handoffd", bad: dropIn("app.service", "[Service]\nProtectControlGroups=yes")},
	{rule: "handoffd-oom", base: "handoffd", bad: dropIn("app.service", "[Service]\nOOMPolicy=kill")},
	{rule: "non-blocking", base: "handoffd", bad: dropIn("app.service", "[Service]\nNonBlocking=no")},
}
