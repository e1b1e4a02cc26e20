package programs

import "time"

// What clients on kept connections see, in the words of more than one row.
const (
	closedIdle = "closed while idle; a request sent in that instant fails"
	closesSoon = "`Connection: close` with its last answer, or closed while idle"
	noneKept   = "it keeps none"
)

var table = []Program{
	{
		Name: "nginx", Title: "nginx",
		Sockets: "`NGINX=3;` in its environment, and the same addresses in `listen`",
		Command: []string{"/usr/sbin/nginx", "-g", "daemon off; master_process on;"},
		Example: "/usr/sbin/nginx -g 'daemon off;'", environment: nginxSockets,
		Ready: "exec", StopSignal: "QUIT", Kept: closedIdle, Native: "`nginx -s reload`",
	},
	{
		Name: "haproxy", Title: "HAProxy",
		Sockets: "`bind fd@3` in its configuration",
		Command: []string{"/usr/sbin/haproxy", "-Ws", "-f", "/etc/haproxy/haproxy.cfg"},
		Example: "/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg",
		Ready:   "notify", StopSignal: "USR1", Kept: closesSoon, Native: "USR2",
	},
	{
		Name: "lighttpd", Title: "lighttpd",
		Sockets: "`server.systemd-socket-activation = \"enable\"`, and the same `server.bind` and `server.port`",
		Command: []string{"/usr/sbin/lighttpd", "-D", "-f", "/etc/lighttpd/lighttpd.conf"},
		Example: "/usr/sbin/lighttpd -D -f /etc/lighttpd/lighttpd.conf",
		Ready:   "exec", StopSignal: "INT", Kept: closedIdle, Native: "USR1",
	},
	{
		Name: "php-fpm", Title: "PHP-FPM",
		Sockets: "`FPM_SOCKETS=127.0.0.1:9000=3` in its environment, and the same `listen` in the pool",
		Example: "/usr/sbin/php-fpm8.2 --nodaemonize --fpm-config /etc/php/8.2/fpm/php-fpm.conf", environment: fpmSockets,
		Ready: "notify", StopSignal: "QUIT", Kept: noneKept, Native: "USR2",
	},
	{
		Name: "gunicorn", Title: "gunicorn",
		Sockets: "as they are (`LISTEN_FDS`), without `--bind`",
		Example: "/usr/bin/gunicorn app:app", Ready: "notify", Kept: closesSoon, Native: "HUP",
	},
	{
		Name: "uvicorn", Title: "uvicorn",
		Sockets: "`--fd 3`", Example: "/usr/bin/uvicorn --fd 3 app:app",
		Ready: "exec", Kept: closedIdle, Native: "none: a restart",
	},
	{
		Name: "unicorn", Title: "unicorn",
		Sockets: "as they are (`LISTEN_FDS`), and the same address in `listen`",
		Example: "/usr/bin/unicorn -c /srv/unicorn.conf.rb", Ready: "exec", StopSignal: "QUIT", Kept: noneKept, Native: "HUP",
	},
	{
		Name: "puma", Title: "Puma",
		Sockets: "as they are (`LISTEN_FDS`), and the same address in `bind`",
		Example: "/usr/bin/puma -b tcp://0.0.0.0:80 -w 2 /srv/config.ru", Ready: "exec", Kept: closesSoon, Native: "USR1 (phased, with workers)",
	},
	{
		Name: "starman", Title: "Starman",
		Sockets: "as start_server passes them: `--compat server-starter`",
		Example: "/usr/bin/starman --preload-app --workers 5 /srv/app.psgi",
		Ready:   "alive:1s", Compat: "server-starter", StopSignal: "QUIT", PauseWorkers: 10 * time.Second, Kept: closedIdle, Native: "HUP, by start_server",
	},
	{
		Name: "node", Title: "Node.js",
		Sockets: "`server.listen({fd: 3})`, and a handler of SIGTERM that calls `server.close()`",
		Example: "/usr/bin/node /srv/app.js", Ready: "exec", JIT: true, Kept: closesSoon, Native: "none: a restart",
	},
	{
		Name: "node-cluster", Title: "Node.js, cluster",
		Sockets: "`server.listen({fd: 3})` in the workers, and a handler of SIGTERM in the primary that disconnects them",
		Example: "/usr/bin/node /srv/app.js", Ready: "exec", JIT: true, Kept: closesSoon, Native: "none: a restart",
	},
	{
		Name: "go", Title: "Go, net/http with go-systemd",
		Sockets: "`activation.Listeners()`, and a handler of SIGTERM that calls `Server.Shutdown`",
		Example: "/usr/local/bin/app", Ready: "exec", Kept: closedIdle, Native: "none: a restart",
	},
	{
		Name: "apache", Title: "Apache httpd 2.4", Native: "`apachectl graceful`",
		Cannot: "it binds its addresses itself, and takes no sockets. Its own graceful restart keeps them",
	},
	{
		Name: "redis", Title: "Redis", Native: "none",
		Cannot: "it binds its addresses itself, and two of it would each have data of their own",
	},
	{
		Name: "mosquitto", Title: "Mosquitto", Native: "HUP, for its configuration alone",
		Cannot: "it binds its addresses itself, and takes no sockets",
	},
	{
		Name: "postgresql", Title: "PostgreSQL", Native: "HUP, for its configuration alone",
		Cannot: "it binds its addresses itself, and two of it cannot share a data directory: postmaster.pid is its lock",
	},
	{Name: "dovecot", Title: "Dovecot", Sockets: "as they are (`LISTEN_FDS`), at the addresses of its listeners", Native: "HUP"},
	{Name: "unbound", Title: "unbound", Sockets: "as they are (`LISTEN_FDS`), at the addresses of `interface`", Native: "HUP"},
	{Name: "sshd", Title: "OpenSSH's sshd", Sockets: "as they are (`LISTEN_FDS`) in Debian's since 13", StopSignal: "TERM", Native: "HUP"},
	{Name: "caddy", Title: "Caddy", Sockets: "`bind fd/3` since 2.8; Debian's is older, and binds its addresses itself", Native: "`caddy reload`"},
	{Name: "rust", Title: "Rust with listenfd", Sockets: "`ListenFd::from_env()`", Native: "none: a restart"},
	{Name: "java", Title: "Java", Sockets: "`System.inheritedChannel()`, of descriptor 0 alone: `sh -c 'exec java ... 0<&3'`", JIT: true, Native: "none: a restart"},
}
