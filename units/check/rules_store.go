package check

import (
	"fmt"
	"time"
)

// What a service leaves with the manager, and what survives a crash.
var storeRules = []Rule{
	{
		ID: "store-restart-no", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "A service that crashes and is not restarted has failed for good, and systemd closes what it stored: connections are cut. With Restart=on-failure, or FileDescriptorStorePreserve=yes, they wait for its next start.",
		Reason: "connections that were stored are cut",
		check:  (*checker).storeRestartNo,
	},
	{
		ID: "store-start-limit", Severity: Loss, Man: "systemd.unit(5)",
		Doc:    "A service that is started more often than StartLimitBurst= in StartLimitIntervalSec=, 5 times in 10 s where they are not set and each systemctl restart counted, has failed for good. systemd then closes what it stored, and shuts its sockets.",
		Reason: "connections that were stored are cut, and every later client is refused",
		check:  (*checker).storeStartLimit,
	},
	{
		ID: "store-preserve-ignored", Severity: Ineffective, Man: "systemd.service(5)",
		Doc:    "FileDescriptorStorePreserve= keeps a store that FileDescriptorStoreMax= leaves without a place.",
		Reason: "the line does nothing",
		check:  (*checker).storePreserveIgnored,
	},
	{
		ID: "store-large", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "For each descriptor that is stored the manager looks at all those before: storing 8,000 one by one kept systemd 252 busy for 32 s, in which it did nothing else. Descriptors in flight inside one stored socket cost one entry.",
		Reason: "clients of the service are served, while systemd is slow for everything else",
		check:  (*checker).storeLarge,
	},
}

// storeMax is how many descriptors a service may store.
func (u *Unit) storeMax() int { return u.count(0, "Service", "FileDescriptorStoreMax") }

// restarts reports whether the service is started again when it crashes.
func (u *Unit) restarts() bool {
	switch u.value("Service", "Restart") {
	case "always", "on-failure", "on-abnormal", "on-abort":
		return true
	}
	return false
}

func (c *checker) storeRestartNo() {
	service := c.service()
	preserved, _ := parseBool(service.value("Service", "FileDescriptorStorePreserve"))
	if service.storeMax() == 0 || service.restarts() || preserved || len(c.accepting()) > 0 {
		return
	}
	at := service.at("Service", "Restart", "FileDescriptorStoreMax")
	c.restart(c.report(service, at, "when the program crashes systemd closes what it stored", "Restart=on-failure, without a start limit"))
}

// restart adds to f what starts a service that stores again, however often it crashes:
// without one of these lines, the others would only turn one loss into another.
func (c *checker) restart(f *Finding) {
	if !c.Service.retries() {
		f.set("Service", "Restart", "on-failure")
	}
	if c.Service.startLimited() || c.Service.span(0, "Service", "RestartSec") == 0 {
		f.set("Unit", "StartLimitIntervalSec", "0").set("Service", "RestartSec", "1")
	}
}

// startLimit is how often a service may be started in an interval.
func (u *Unit) startLimit() (interval time.Duration, burst int) {
	interval = u.span(10*time.Second, "Unit", "StartLimitIntervalSec", "StartLimitInterval")
	if _, ok := u.last("Service", "StartLimitInterval"); ok {
		interval = u.span(interval, "Service", "StartLimitInterval")
	}
	burst = u.count(5, "Unit", "StartLimitBurst")
	if _, ok := u.last("Service", "StartLimitBurst"); ok {
		burst = u.count(burst, "Service", "StartLimitBurst")
	}
	return interval, burst
}

// limited reports whether restarts alone can bring a service to its start limit.
func (u *Unit) limited() bool {
	interval, burst := u.startLimit()
	pause := u.span(100*time.Millisecond, "Service", "RestartSec")
	return interval > 0 && burst > 0 && pause < interval/time.Duration(burst)
}

func (c *checker) storeStartLimit() {
	service := c.service()
	if service.storeMax() == 0 || !service.restarts() || !service.limited() || len(c.accepting()) > 0 {
		return
	}
	at, ok := service.last("Unit", "StartLimitIntervalSec", "StartLimitBurst")
	if !ok {
		at = service.at("Service", "Restart")
	}
	c.report(service, at,
		"a few restarts in a row reach the start limit: then systemd closes what the service stored, and its sockets", "StartLimitIntervalSec=0, with a RestartSec= that keeps a crash loop slow").
		set("Unit", "StartLimitIntervalSec", "0").set("Service", "RestartSec", "1")
}

func (c *checker) storePreserveIgnored() {
	service := c.service()
	if o, ok := service.last("Service", "FileDescriptorStorePreserve"); ok && service.storeMax() == 0 && !isNo(o.Value) {
		c.report(service, o, "without FileDescriptorStoreMax= there is nothing to preserve", "FileDescriptorStoreMax=16, or as many as the program stores").
			set("Service", "FileDescriptorStoreMax", "16")
	}
}

func (c *checker) storeLarge() {
	service := c.service()
	if o, ok := service.last("Service", "FileDescriptorStoreMax"); ok && service.storeMax() >= 4096 {
		c.report(service, o, fmt.Sprintf("storing %s descriptors one by one keeps the manager busy for seconds", o.Value), "store few, that hold the others: a socket with descriptors in flight")
	}
}
