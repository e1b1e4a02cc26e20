package check

// fragile is a program that fails where /run/ok is not, and app where it is: see
// TestLosses.
const fragile = "[Service]\nExecStart=\nExecStart=/usr/local/bin/fragile\n"

var startCases = []ruleCase{
	{rule: "start-fails", base: "plain", bad: dropIn("app.service", "[Service]\nRestart=no\n"+fragile), lost: recovers("app.service", 3)},
	{rule: "start-fails", base: "plain", bad: dropIn("app.service", "[Unit]\nStartLimitIntervalSec=10\n[Service]\nRestart=no\n"+fragile), mended: dropIn("app.service", fragile), lost: recovers("app.service", 3)},
	{rule: "start-fails", base: "plain", bad: dropIn("app.service", "[Service]\nRestart=on-abnormal\nExecStartPre=/usr/bin/test -e /run/ok"), lost: recovers("app.service", 3)},
	{rule: "start-fails", base: "plain", bad: dropIn("app.service", "[Service]\nRestartPreventExitStatus=1\n"+fragile), lost: recovers("app.service", 3)},
	{rule: "start-fails", base: "plain", bad: dropIn("app.service", "[Service]\nRestart=no\n"+fragile),
		mended: files{"app.service.d/test.conf": "[Service]\nRestart=no\n" + fragile, "app.socket.d/test.conf": "[Socket]\nTriggerLimitIntervalSec=0\n"}, lost: recovers("app.service", 25)},
	{rule: "start-limit", base: "plain", bad: dropIn("app.service", "[Unit]\nStartLimitIntervalSec=10\n[Service]\nRestartSec=5"), lost: restarts(7)},
	{rule: "start-limit", base: "plain", bad: dropIn("app.service", "[Unit]\nStartLimitIntervalSec=30\nStartLimitBurst=3"), lost: restarts(7)},
	{rule: "start-condition", base: "plain", bad: dropIn("app.service", "[Unit]\nConditionPathExists=/run/ok"), lost: recovers("app.service", 25)},
	{rule: "start-condition", base: "plain", bad: dropIn("app.service", "[Unit]\nAssertPathExists=/run/ok"), lost: recovers("app.service", 25)},
	{rule: "start-condition", base: "plain", bad: dropIn("app.service", "[Service]\nExecCondition=/usr/bin/test -e /run/ok"), lost: recovers("app.service", 25)},
	{rule: "start-dependency", base: "plain", bad: needing("Requires"), lost: recovers("other.service", 25)},
	{rule: "start-dependency", base: "plain", bad: needing("BindsTo"), lost: recovers("other.service", 25)},
	{rule: "condition-on-service", base: "plain", bad: dropIn("app.service", "[Unit]\nConditionVirtualization=!qemu")},
}

// needing is a service that needs another one, which fails where /run/ok is not.
func needing(option string) files {
	return files{
		"app.service.d/test.conf": "[Unit]\n" + option + "=other.service\nAfter=other.service\n",
		"other.service":           "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/test -e /run/ok\n",
	}
}

// recovers: a client comes while no start succeeds. After some tries, or when the socket
// has failed, /run/ok is made, and the next try would do.
func recovers(tried string, tries int) scenario {
	return func(e *experiment) error {
		e.m.Output("rm", "-f", "/run/ok")
		e.start("app.socket")
		c, err := e.client()
		if err != nil {
			return err
		}
		if err := e.send(c, "ping\n"); err != nil {
			return err
		}
		e.tries(tried, tries)
		e.m.Output("touch", "/run/ok")
		if err := e.expect(c); err != nil {
			return err
		}
		return e.ask("tcp", "127.0.0.1:8080")
	}
}

// restarts: the service is restarted so often, and then a client asks.
func restarts(times int) scenario {
	return func(e *experiment) error {
		e.start("app.socket")
		for range times {
			if _, err := e.m.TrySystemctl("restart", "app.service"); err != nil {
				e.t.Logf("a restart fails")
			}
		}
		return e.ask("tcp", "127.0.0.1:8080")
	}
}
