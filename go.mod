module github.com/holdfast-go/holdfast

go 1.26.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0
	github.com/coreos/go-systemd/v22 v22.7.0
	github.com/urfave/cli/v3 v3.14.0
	github.com/varlink/go v0.4.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.49.0
	pgregory.net/rapid v1.3.0
)

require github.com/godbus/dbus/v5 v5.1.0 // indirect
