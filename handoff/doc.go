// Package handoff keeps a Go service answering while its program is replaced.
// Each run of the program is a generation. Across `systemctl restart`, and
// across a reload by handoffd, the next generation goes on with what this one
// had: the listeners, HTTP/1 connections between two requests, any other
// connection by a Carrier, and the program's own state.
//
//	func main() {
//		ctx := context.Background()
//		svc, err := handoff.Open(ctx, handoff.Options{})
//		if err != nil {
//			log.Fatal(err)
//		}
//		ln, err := svc.Listen("http", "tcp", ":8080")
//		if err != nil {
//			log.Fatal(err)
//		}
//		if err := svc.Serve(ln, &http.Server{Handler: mux}); err != nil {
//			log.Fatal(err)
//		}
//		if err := svc.Run(ctx); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// with the unit
//
//	[Service]
//	Type=notify
//	ExecStart=/usr/bin/app
//	FileDescriptorStoreMax=16
//	TimeoutStopSec=60
//	Restart=on-failure
package handoff
