package programs

import (
	"fmt"
	"path"
)

// Where handoffd's sockets are, and where the programs listen in their own way. Those
// of packaged units keep their address.
const (
	here  = "127.0.0.1:8080"
	there = "127.0.0.1:8081"
)

const (
	nginxConf = `user www-data;
worker_processes 2;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { worker_connections 512; }
http {
	access_log off;
	server {
		listen 127.0.0.1:8080;
		location / { return 200 "hello"; }
	}
}
`
	haproxyConf = `global
	maxconn 500
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
frontend front
	bind %s
	http-request return status 200 content-type text/plain string hello
`
	lighttpdConf = `server.modules = ("mod_indexfile")
server.document-root = "/srv/www"
server.bind = "127.0.0.1"
server.port = 8080
server.username = "www-data"
server.groupname = "www-data"
server.pid-file = "/run/lighttpd.pid"
index-file.names = ("index.html")
server.systemd-socket-activation = "enable"
`
	fpmPool = `[global]
process_control_timeout = 10s
[www]
user = www-data
group = www-data
listen = /run/php/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = 4
`
	frontConf = `worker_processes 1;
pid /run/front.pid;
error_log /var/log/nginx/front.log;
events { worker_connections 512; }
http {
	access_log off;
	server {
		listen 127.0.0.1:8082;
		location / {
			include /etc/nginx/fastcgi_params;
			fastcgi_param SCRIPT_FILENAME /srv/hello.php;
			fastcgi_pass unix:/run/php/fpm.sock;
		}
	}
}
`
	unboundConf = `server:
  interface: 127.0.0.1@5353
  username: unbound
  chroot: ""
  do-daemonize: no
  local-zone: "test." static
  local-data: "hello.test. A 192.0.2.1"
`
	// dnsQuery asks for the address of hello.test.
	dnsQuery   = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05hello\x04test\x00\x00\x01\x00\x01"
	wsgi       = "def app(environ, start_response):\n    start_response('200 OK', [('Content-Length', '5')])\n    return [b'hello']\n"
	asgi       = "async def app(scope, receive, send):\n    if scope['type'] == 'lifespan':\n        while True:\n            m = await receive()\n            await send({'type': m['type'] + '.complete'})\n            if m['type'] == 'lifespan.shutdown':\n                return\n    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'5')]})\n    await send({'type': 'http.response.body', 'body': b'hello'})\n"
	rack       = "run lambda { |env| [200, { 'content-length' => '5' }, ['hello']] }\n"
	unicornRb  = "listen '%s'\nworker_processes 2\nworking_directory '/srv'\n"
	psgi       = `sub { [200, ["Content-Type" => "text/plain"], ["hello"]] }` + "\n"
	nodeServer = `const http = require('http');
let closing = false;
const server = http.createServer((req, res) => {
  if (closing) res.setHeader('Connection', 'close');
  res.end('hello');
});
server.listen(process.env.LISTEN_FDS ? { fd: 3 } : { port: 8081, host: '127.0.0.1' });
process.on('SIGTERM', () => {
  closing = true;
  server.close();
  server.closeIdleConnections();
});
`
	nodeCluster = `const cluster = require('cluster');
const http = require('http');
cluster.schedulingPolicy = cluster.SCHED_NONE;
if (cluster.isPrimary) {
  for (let i = 0; i < 2; i++) cluster.fork();
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.send('close');
  });
} else {
  let closing = false;
  const server = http.createServer((req, res) => {
    if (closing) res.setHeader('Connection', 'close');
    res.end('hello');
  });
  server.listen(process.env.LISTEN_FDS ? { fd: 3 } : { port: 8081, host: '127.0.0.1' });
  process.on('SIGTERM', () => {});
  process.on('message', () => {
    closing = true;
    server.close(() => process.disconnect());
    server.closeIdleConnections();
  });
}
`
)

// nativeUnit is a service that is its program.
func nativeUnit(command, reload, more string) string {
	text := "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=" + command + "\n" + more
	if reload != "" {
		text += "ExecReload=/bin/kill -" + reload + " $MAINPID\n"
	}
	return text
}

// trials are of the packages of Debian 12, which has systemd 252, or of sid.
func trials(systemd int) []trial {
	php := "8.4"
	if systemd == 252 {
		php = "8.2"
	}
	pool := path.Join("/etc/php", php, "fpm/pool.d/www.conf")
	all := []trial{
		{
			program: "nginx", packaged: "nginx.service", ours: here, theirs: here,
			files: map[string]string{"/etc/nginx/nginx.conf": nginxConf},
		},
		{
			program: "haproxy", packaged: "haproxy.service", ours: here, theirs: here,
			files:   map[string]string{"/etc/haproxy/haproxy.cfg": fmt.Sprintf(haproxyConf, here)},
			adopted: map[string]string{"/etc/haproxy/haproxy.cfg": fmt.Sprintf(haproxyConf, "fd@3")},
		},
		{
			program: "lighttpd", packaged: "lighttpd.service", ours: here, theirs: here,
			files: map[string]string{"/etc/lighttpd/lighttpd.conf": lighttpdConf, "/srv/www/index.html": "hello"},
		},
		{
			program: "php-fpm", packaged: "php" + php + "-fpm.service", ours: "/run/php/fpm.sock", theirs: "/run/php/fpm.sock", front: "127.0.0.1:8082",
			files:     map[string]string{pool: fpmPool, "/srv/hello.php": `<?php echo "hello";`, "/etc/nginx/front.conf": frontConf},
			frontUnit: "[Service]\nExecStart=/usr/sbin/nginx -c /etc/nginx/front.conf -g 'daemon off;'\n",
			command:   []string{"/usr/sbin/php-fpm" + php, "--nodaemonize", "--fpm-config", "/etc/php/" + php + "/fpm/php-fpm.conf"},
		},
		{
			program: "gunicorn", ours: here, theirs: there,
			files:   map[string]string{"/srv/app.py": wsgi},
			command: []string{"/usr/bin/gunicorn", "--chdir", "/srv", "-w", "2", "-k", "gthread", "app:app"},
			native:  nativeUnit("/usr/bin/gunicorn --bind "+there+" --chdir /srv -w 2 -k gthread app:app", "HUP", "Type=notify\nKillMode=mixed\n"),
		},
		{
			program: "uvicorn", ours: here, theirs: there, restart: true, cuts: true,
			files:   map[string]string{"/srv/asgi.py": asgi},
			command: []string{"/usr/bin/uvicorn", "--fd", "3", "--app-dir", "/srv", "--no-access-log", "asgi:app"},
			native:  nativeUnit("/usr/bin/uvicorn --host 127.0.0.1 --port 8081 --app-dir /srv --no-access-log asgi:app", "", ""),
		},
		{
			program: "unicorn", ours: here, theirs: there,
			files: map[string]string{
				"/srv/config.ru": rack, "/srv/unicorn.rb": fmt.Sprintf(unicornRb, here), "/srv/native.rb": fmt.Sprintf(unicornRb, there),
			},
			command: []string{"/usr/bin/unicorn", "-c", "/srv/unicorn.rb", "-E", "production"},
			native:  nativeUnit("/usr/bin/unicorn -c /srv/native.rb -E production", "HUP", "WorkingDirectory=/srv\nKillMode=mixed\nKillSignal=SIGQUIT\n"),
		},
		{
			program: "puma", ours: here, theirs: there, cuts: true,
			files:   map[string]string{"/srv/config.ru": rack},
			command: []string{"/usr/bin/puma", "-e", "production", "-b", "tcp://" + here, "-w", "2", "/srv/config.ru"},
			native:  nativeUnit("/usr/bin/puma -e production -b tcp://"+there+" -w 2 /srv/config.ru", "USR1", "WorkingDirectory=/srv\nKillMode=mixed\n"),
		},
		{
			program: "starman", ours: here, theirs: there,
			files:   map[string]string{"/srv/app.psgi": psgi},
			command: []string{"/usr/bin/starman", "--preload-app", "--workers", "5", "/srv/app.psgi"},
			native: nativeUnit("/usr/bin/start_server --port="+there+" --signal-on-hup=QUIT --signal-on-term=QUIT --pid-file=/run/starman.pid --status-file=/run/starman.status -- /usr/bin/starman --preload-app --workers 5 /srv/app.psgi",
				"", "ExecReload=/usr/bin/start_server --restart --pid-file=/run/starman.pid --status-file=/run/starman.status\nKillMode=mixed\n"+
					"ExecStartPost=/bin/sh -c 'until grep -q : /run/starman.status; do sleep 0.1; done'\n"),
			cuts: true, noKept: true,
		},
		{
			program: "node", ours: here, theirs: there, restart: true,
			files:   map[string]string{"/srv/node.js": nodeServer},
			command: []string{"/usr/bin/node", "/srv/node.js"},
			native:  nativeUnit("/usr/bin/node /srv/node.js", "", ""),
		},
		{
			program: "node-cluster", ours: here, theirs: there, restart: true,
			files:   map[string]string{"/srv/cluster.js": nodeCluster},
			command: []string{"/usr/bin/node", "/srv/cluster.js"},
			native:  nativeUnit("/usr/bin/node /srv/cluster.js", "", "KillMode=mixed\n"),
		},
		{
			program: "go", ours: here, theirs: there, restart: true, cuts: true,
			command: []string{"/usr/local/bin/goserver", there},
			native:  nativeUnit("/usr/local/bin/goserver "+there, "", ""),
		},
	}
	if systemd == 252 {
		return all // whose Apache, Caddy and sshd take no sockets
	}
	return append(all, trial{
		program: "apache", packaged: "apache2.service", ours: here, theirs: here,
		files: map[string]string{
			"/etc/apache2/ports.conf": "Listen " + here + "\n", "/var/www/html/index.html": "hello",
			"/etc/apache2/sites-enabled/000-default.conf": "ServerName localhost\n<VirtualHost *:8080>\nDocumentRoot /var/www/html\n</VirtualHost>\n",
		},
	}, trial{
		program: "caddy", packaged: "caddy.service", cuts: true, ours: here, theirs: here,
		files:   map[string]string{"/etc/caddy/Caddyfile": "http://:8080 {\n\tbind 127.0.0.1\n\trespond hello\n}\n"},
		adopted: map[string]string{"/etc/caddy/Caddyfile": "{\n\tadmin off\n}\nhttp:// {\n\tbind fd/3\n\trespond hello\n}\n"},
	}, trial{
		// What a client sends that has no key yet, and how sshd greets it.
		program: "sshd", packaged: "ssh.service", cuts: true,
		files:     map[string]string{"/etc/ssh/sshd_config.d/test.conf": "MaxStartups 1000\nPerSourcePenalties no\nListenAddress 0.0.0.0\n"},
		exchanges: []exchange{{"tcp", "127.0.0.1:22", "SSH-2.0-test\r\n", "SSH-2.0-OpenSSH"}},
	}, trial{
		program: "unbound", packaged: "unbound.service", cuts: true, ours: "127.0.0.1:5353",
		files: map[string]string{"/etc/unbound/unbound.conf": unboundConf},
		adopted: map[string]string{
			"/etc/unbound/unbound.conf": unboundConf + "  use-systemd: yes\n",
		},
		exchanges: []exchange{{"tcp", "127.0.0.1:5353", "\x00\x1c" + dnsQuery, "\x00"}, {"udp", "127.0.0.1:5353", dnsQuery, dnsQuery[:2]}},
	})
}
