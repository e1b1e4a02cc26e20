package programs

import "time"

// anew is what a client on a kept connection does at each reload and restart.
const anew = "it connects anew"

var table = []Program{
	{
		Name: "nginx", Title: "nginx",
		Sockets: "`NGINX=3;` in its environment, and the same addresses in `listen`",
		Command: []string{"/usr/sbin/nginx", "-g", "daemon off; master_process on;"},
		Example: "/usr/sbin/nginx -g 'daemon off;'", environment: nginxSockets,
		Ready: "accept", StopSignal: "QUIT", Kept: anew, Native: "`nginx -s reload`",
	},
	{
		Name: "haproxy", Title: "HAProxy",
		Sockets: "`bind fd@3` in its configuration",
		Command: []string{"/usr/sbin/haproxy", "-Ws", "-f", "/etc/haproxy/haproxy.cfg"},
		Example: "/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg",
		Ready:   "notify", StopSignal: "USR1", Kept: anew, Native: "USR2",
	},
	{
		Name: "apache", Title: "Apache httpd",
		Sockets: "as they are (`LISTEN_FDS`), and the same ports in `Listen`; not before 2.4.69, so not in Debian 12; each generation its own `PidFile`",
		Command: []string{"/bin/sh", "-c", ". /etc/apache2/envvars; export APACHE_PID_FILE=$APACHE_RUN_DIR/$$.pid; exec /usr/sbin/apache2 -DFOREGROUND"},
		Example: "/usr/sbin/apache2 -DFOREGROUND", Ready: "notify", StopSignal: "WINCH", Kept: anew, Native: "`apachectl graceful`",
	},
	{
		Name: "lighttpd", Title: "lighttpd",
		Sockets: "`server.systemd-socket-activation = \"enable\"`, and the same `server.bind` and `server.port`",
		Command: []string{"/usr/sbin/lighttpd", "-D", "-f", "/etc/lighttpd/lighttpd.conf"},
		Example: "/usr/sbin/lighttpd -D -f /etc/lighttpd/lighttpd.conf",
		Ready:   "accept", StopSignal: "INT", Kept: anew, Native: "USR1",
	},
	{
		Name: "caddy", Title: "Caddy",
		Sockets: "`bind fd/3`, and `admin off`, whose address only one can have; not in Debian 12's 2.6",
		Command: []string{"/usr/bin/caddy", "run", "--environ", "--config", "/etc/caddy/Caddyfile"},
		Example: "/usr/bin/caddy run --config /etc/caddy/Caddyfile", Ready: "notify", Kept: anew, Native: "`caddy reload`",
	},
	{
		Name: "php-fpm", Title: "PHP-FPM",
		Sockets: "`FPM_SOCKETS=/run/php/fpm.sock=3` in its environment, and the same `listen` in the pool; `process_control_timeout = 10s`",
		Example: "/usr/sbin/php-fpm8.2 --nodaemonize --fpm-config /etc/php/8.2/fpm/php-fpm.conf", environment: fpmSockets,
		Ready: "notify", StopSignal: "QUIT", Unlinks: true, Kept: "the web server in front connects anew", Native: "USR2",
	},
	{
		Name: "gunicorn", Title: "gunicorn",
		Sockets: "as they are (`LISTEN_FDS`), without `--bind`",
		Example: "/usr/bin/gunicorn app:app", Ready: "notify", Kept: anew, Native: "HUP",
	},
	{
		Name: "uvicorn", Title: "uvicorn",
		Sockets: "`--fd 3`", Example: "/usr/bin/uvicorn --fd 3 app:app",
		Ready: "accept", Kept: anew, Native: "a restart",
	},
	{
		Name: "unicorn", Title: "unicorn",
		Sockets: "as they are (`LISTEN_FDS`), and the same address in `listen`",
		Example: "/usr/bin/unicorn -c /srv/unicorn.conf.rb", Ready: "accept", StopSignal: "QUIT", Kept: "it connects anew for each request", Native: "HUP",
	},
	{
		Name: "puma", Title: "Puma",
		Sockets: "as they are (`LISTEN_FDS`), and the same address in `bind`",
		Example: "/usr/bin/puma -b tcp://0.0.0.0:80 -w 2 /srv/config.ru", Ready: "accept", Kept: anew, Native: "USR1 (phased, with workers)",
	},
	{
		Name: "starman", Title: "Starman",
		Sockets: "as start_server passes them: `--compat server-starter`",
		Example: "/usr/bin/starman --preload-app --workers 5 /srv/app.psgi",
		Ready:   "alive:1s", Compat: "server-starter", StopSignal: "QUIT", PauseWorkers: 10 * time.Second, Kept: anew, Native: "HUP, by start_server",
	},
	{
		Name: "node", Title: "Node.js",
		Sockets: "`server.listen({fd: 3})`, and a handler of SIGTERM that calls `server.close()` and `server.closeIdleConnections()`, with `Connection: close` from then on",
		Example: "/usr/bin/node /srv/app.js", Ready: "accept", JIT: true, Kept: anew, Native: "a restart",
	},
	{
		Name: "node-cluster", Title: "Node.js, cluster",
		Sockets: "the same in the workers, on a message of the primary, which handles SIGTERM; `cluster.schedulingPolicy = cluster.SCHED_NONE`, or the primary drops what it has accepted",
		Example: "/usr/bin/node /srv/app.js", Ready: "accept", JIT: true, Kept: anew, Native: "a restart",
	},
	{
		Name: "go", Title: "Go, net/http with go-systemd",
		Sockets: "`activation.Listeners()`, and a handler of SIGTERM that calls `Server.Shutdown`",
		Example: "/usr/local/bin/app", Ready: "accept", Kept: anew, Native: "a restart",
	},
	{
		Name: "unbound", Title: "unbound",
		Sockets: "as they are (`LISTEN_FDS`), TCP and UDP, with `use-systemd: yes` and the same addresses in `interface`",
		Command: []string{"/usr/sbin/unbound", "-d", "-p"},
		Example: "/usr/sbin/unbound -d -p", Ready: "notify", Kept: "not tried", Native: "HUP",
	},
	{
		Name: "sshd", Title: "OpenSSH's sshd",
		Sockets: "as they are (`LISTEN_FDS`), with Debian's `ssh.socket`; not in Debian 12's",
		Command: []string{"/usr/sbin/sshd", "-D"},
		Example: "/usr/sbin/sshd -D", Ready: "notify",
		Kept:   "not tried: a session that pam_systemd moves into a scope of its own should go on; another is cut at the drain timeout",
		Native: "HUP",
	},
	{Name: "rust", Title: "Rust with listenfd", Sockets: "`ListenFd::from_env()`", Native: "a restart"},
	{Name: "java", Title: "Java", Sockets: "`System.inheritedChannel()`, of descriptor 0 alone: `sh -c 'exec java ... 0<&3'`", JIT: true, Native: "a restart"},
	{
		Name: "dovecot", Title: "Dovecot", Native: "`doveadm reload`",
		Cannot: "it takes sockets (`LISTEN_FDS`), but two of it cannot run at once: \"Dovecot is already running\"",
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
}
