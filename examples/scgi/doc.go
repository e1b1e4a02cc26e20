// Command scgi is an SCGI server for an application that answers one request at a
// time in each process: behind nginx (scgi_pass), Apache or lighttpd, with worker
// processes that are replaced without an error for anyone.
//
// A dispatcher holds the listener, gives each connection to a worker that is idle,
// and starts workers where they are missing. The one that became idle last is
// preferred, so that its caches are warm and those that are not needed can end.
//
//	nginx -- 127.0.0.1:4000 -- dispatcher -+- worker
//	                                       +- worker
//	                                       +- ...
//
// # Replacing it
//
//	kill -HUP DISPATCHER      new workers, of the program that is on disk now
//	systemctl reload          a new dispatcher with new workers, by handoffd
//
// Either way the new workers are warm before old ones are told to finish, an old one
// finishes what it does, and a program that does not work leaves the old ones in
// place. `handoffd status` tells the dispatcher's PID. A worker that crashes takes
// along the one request that it was answering. It is replaced after a tenth of a
// second, and after longer where others have failed before it.
//
// # Writing your own
//
// Put your application in the place of handler in handler.go; all that it loads
// before its first request belongs before work in main.go. The unit pair is
// units/holdfast-scgi.socket and .service. nginx needs:
//
//	location / {
//		include scgi_params;
//		scgi_pass 127.0.0.1:4000;
//	}
package main
