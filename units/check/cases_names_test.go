package check

var nameCases = []ruleCase{
	{rule: "dependency-missing", base: "plain", complete: true, bad: dropIn("app.service", "[Unit]\nRequires=absent.service"), lost: asks},
	{rule: "ordering-cycle", base: "plain", bad: dropIn("app.socket", "[Unit]\nAfter=app.service")},
	{rule: "ordering-cycle", base: "plain", bad: files{"app.socket.d/test.conf": "[Unit]\nAfter=other.service\n", "other.service": ordinary}},
	{rule: "ordering-cycle", base: "plain", bad: dropIn("app.socket", "[Unit]\nAfter=multi-user.target")},
	{rule: "socket-user-meant", base: "plain", bad: dropIn("app.socket", "[Socket]\nUser=app\nListenStream=/run/app.sock")},
	{rule: "exec-comment", base: "plain", bad: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/usr/local/bin/app # the program")},
	{rule: "daemonises", base: "plain", bad: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/usr/local/bin/app --daemonize"), lost: asks},
	{rule: "ipv6-only", base: "plain", bad: dropIn("app.socket", "[Socket]\nBindIPv6Only=ipv6-only")},
	{rule: "binds-itself", base: "plain", bad: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/usr/local/bin/app --listen 127.0.0.1:8080")},
	{rule: "binds-itself", base: "plain", bad: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/usr/local/bin/app --bind=0.0.0.0:8081")},
	{rule: "handoffd-command", base: "handoffd", bad: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd -- /usr/local/bin/app"), lost: asks},
	{rule: "handoffd-command", base: "handoffd", bad: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run --debug"), lost: asks},
	{rule: "handoffd-flags", base: "handoffd", bad: dropIn("app.service", handoffdStart+"--drain-timout 5s"+program), lost: asks},
	{rule: "handoffd-flags", base: "handoffd", bad: dropIn("app.service", handoffdStart+"--drain-timeout 5"+program), lost: asks},
	{rule: "handoffd-flags", base: "handoffd", bad: dropIn("app.service", "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run /usr/local/bin/app --store"), lost: asks},
}

// ordinary is a service as most are. It is started at boot.
const ordinary = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
