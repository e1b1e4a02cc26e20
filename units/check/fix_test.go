package check

import (
	"slices"
	"testing"
)

// TestFixesAreWhole: with its drop-ins a pair that says little has none of the
// findings that a drop-in mends, and no new one.
func TestFixesAreWhole(t *testing.T) {
	const daemon, plain = "ExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/app\n", "ExecStart=/usr/local/bin/app\n"
	for _, service := range []string{
		daemon, daemon + "Type=notify\nRestart=always\n", daemon + "FileDescriptorStoreMax=8\n", daemon + "ProtectControlGroups=yes\n",
		daemon + "Type=forking\nKillMode=process\nStandardInput=socket\n", daemon + "FileDescriptorStorePreserve=yes\nRestart=on-failure\n",
		daemon + "Type=notify-reload\nExecReload=-/usr/local/bin/handoffd reload\nReloadSignal=SIGQUIT\n",
		plain, plain + "FileDescriptorStoreMax=8\n", plain + "FileDescriptorStoreMax=8\nRestart=always\nKillSignal=SIGKILL\n",
		plain + "FileDescriptorStorePreserve=yes\nRestart=always\n", plain + "Type=notify\nRestart=on-failure\nNotifyAccess=none\n",
	} {
		t.Run("", func(t *testing.T) {
			c := ruleCase{base: "plain", bad: files{"app.service": "[Service]\n" + service}}
			all := c.over(c.bad)
			before := c.run(t, all)
			for name, text := range DropIns(before) {
				all[name+".d/zz-mend.conf"] = text
			}
			for _, f := range c.run(t, all) {
				if len(f.Fix) > 0 || !slices.Contains(found(before), f.Rule) {
					t.Errorf("%s%v", service, f)
				}
			}
			if len(before) == 0 {
				t.Errorf("%snothing found", service)
			}
		})
	}
}
