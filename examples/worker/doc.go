// Command worker does jobs in worker processes, which can be replaced, hang or crash
// while not one job is lost:
//
//	$ printf '1 hello\n2 world\n' | nc -N 127.0.0.1 7008
//	1 ok 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
//	2 ok 486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7
//
// A client sends lines, each an identifier of its own choice and a job, on a
// connection that it keeps, and gets a line for each, in the order in which they
// become done: "ID ok RESULT" or "ID failed REASON". With -queue redis://HOST/DB jobs
// come from a stream of Redis, too (see queue.go); its password may be in
// $REDISCLI_AUTH, which an EnvironmentFile= keeps from other users.
//
//	clients --+-- dispatcher -+- worker
//	Redis   --+               +- worker
//	                          +- ...
//
// The dispatcher gives each worker one job at a time. What it takes for acknowledged is
// a worker's answer: a job whose worker ends or falls silent is given to another one,
// three times at most, so do in job.go may run twice for a job, and its client is
// answered once. A worker is a process that sends READY=1 when it is warm and WATCHDOG=1
// as its heartbeat (sd_notify(3)), reads jobs from standard input and answers on
// standard output, a line each. One that sends no heartbeat for -watchdog is aborted, so
// that its log shows where it hangs, and replaced.
//
// # Replacing it
//
// `systemctl reload holdfast-worker` (units/holdfast-worker.socket and .service) starts
// a new dispatcher with new workers beside the old ones. When they are warm the old
// workers finish the jobs that they have, and all that no worker has begun goes on with
// its connection to the new dispatcher. So does a job that is not finished in time: it
// is begun anew there. A program whose workers do not get warm is undone.
//
// To see it: "version" is a job that tells the program's, "sleep 5s" one that takes its
// time, "hang" one that stops the heartbeat, and "crash" one that ends its worker. All
// others are answered with their SHA-256.
//
// # What is lost
//
// A dispatcher that crashes, or that runs by hand and is ended, takes the connections
// along: their clients see the end, and send again what was not answered. What came from
// Redis is not acknowledged then, and is done by another after -claim.
package main
