// Command handoffd keeps a service answering while its program is replaced. It is
// the main process of the service, and runs the program as generations:
//
//	[Service]
//	Type=notify
//	ExecStart=handoffd run -- /usr/bin/app --flags
//	ExecReload=handoffd reload
//
// On `systemctl reload` it starts the program anew beside the generation that
// serves. When the new one is ready it takes over, and the old one is told to stop
// and finishes its work. If the new one fails, the old one goes on as before, and
// the reload fails and says why.
//
// To the program handoffd is systemd: it passes the sockets (sd_listen_fds(3)),
// hears READY=1, WATCHDOG=1 and the like (sd_notify(3)), and keeps what is stored
// with FDSTORE=1, so a program that works as a socket-activated service works here.
//
// Verbs exit with 0 when it is done, 1 when it failed or was undone, with 2 when
// they were used wrongly, and with 69 where no handoffd is to be reached. `run`
// exits as the program did.
package main
