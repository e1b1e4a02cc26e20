package check

import (
	"strings"
	"testing"
)

// TestLongFiles: files as long as are read, of one line over and over, are checked. Rules
// that compared all lines with all would take minutes.
func TestLongFiles(t *testing.T) {
	const head = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nExecStart=/bin/app\nRestart=on-failure\n"
	for _, line := range []string{
		"Restarts=always", "Restart=sometimes", "[Junk%]", "junk", "Environment=A=b", "Sockets=a%.socket", "RuntimeDirectory=d%", "ExecStop=/bin/kill -9 $MAINPID", "RestrictAddressFamilies=AF_INET",
		"[Unit]\nConditionPathExists=/etc/%", "[Unit]\nRequires=a%.service", "[Unit]\nAfter=a b c", "# check: ignore start-fails because of %\nNice=5", "ReadWritePaths=/a /b", "ExecStart=/bin/env env env env sh -c 'a;b'",
	} {
		t.Run(line, func(t *testing.T) {
			long := func(head, line string) string {
				var b strings.Builder
				b.WriteString(head)
				for n := 0; b.Len()+len(line)+10 < maxFile; n++ {
					b.WriteString(strings.ReplaceAll(line, "%", strings.Repeat("x", n%7)+string(rune('a'+n%26))))
					b.WriteByte('\n')
				}
				return b.String()
			}
			socket := "[Socket]\nListenStream=%\nListenStream=8080"
			m := memory{"app.service": long(head, line), "app.socket": long("[Socket]\nService=app.service\n", socket), "other.socket": long("[Socket]\nService=app.service\n", strings.Replace(line, "[Unit]\n", "[Unit]\n", 1))}
			pairs, err := Load(m, "app.service")
			if err != nil {
				t.Fatal(err)
			}
			findings := Check(pairs, Options{})
			DropIns(findings)
			t.Logf("%d findings", len(findings))
		})
	}
}
