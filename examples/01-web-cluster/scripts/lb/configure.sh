#!/bin/sh
# One upstream whose members are files in /etc/nginx/backends: the relationship adds and removes them.
set -eu
sudo install -d /etc/nginx/backends
# Without a member NGINX would refuse the upstream: this one always says "down".
echo 'server 127.0.0.1:1 down;' | sudo tee /etc/nginx/backends/none.conf >/dev/null
sudo tee /etc/nginx/sites-available/default >/dev/null <<'NGINX'
upstream application {
	include /etc/nginx/backends/*.conf;
}
server {
	listen 80 default_server;
	location / {
		proxy_pass http://application;
		proxy_set_header Host $http_host;
		proxy_next_upstream error timeout;
	}
}
NGINX
sudo nginx -t -q
