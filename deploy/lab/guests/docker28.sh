# What dockerd 28 does to iptables when it starts, with one container that publishes its port 80 as 8080. Run once more it is a
# restart of dockerd. The container is 172.17.0.2 and fd17::2 at docker0. What nobody has published is dropped, by whichever
# way it comes.
set -e

docker() { # PROGRAM NETWORK CONTAINER PUBLISHED LOOPBACK
	program=$1 network=$2 container=$3 published=$4 loopback=$5
	ipt() { $program -w "$@"; }
	ensure() { table=$1 how=$2 && shift 2 && { ipt -t "$table" -C "$@" 2>/dev/null || ipt -t "$table" "$how" "$@"; }; }
	top() { ipt -D FORWARD "$@" 2>/dev/null || :; ipt -I FORWARD "$@"; }

	ipt -t nat -F DOCKER 2>/dev/null || ipt -t nat -N DOCKER
	for chain in DOCKER DOCKER-FORWARD DOCKER-BRIDGE DOCKER-CT DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do
		ipt -F $chain 2>/dev/null || ipt -N $chain
	done
	ipt -A DOCKER-FORWARD -j DOCKER-CT
	ipt -A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
	ipt -A DOCKER-FORWARD -j DOCKER-BRIDGE
	ensure nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	ensure nat -A OUTPUT ! -d "$loopback" -m addrtype --dst-type LOCAL -j DOCKER
	ipt -P FORWARD DROP
	top -j DOCKER-FORWARD
	ipt -n -L DOCKER-USER >/dev/null 2>&1 || ipt -N DOCKER-USER
	top -j DOCKER-USER

	ensure nat -I POSTROUTING -s "$network" ! -o docker0 -j MASQUERADE
	ipt -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	ipt -A DOCKER-BRIDGE -o docker0 -j DOCKER
	ipt -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
	ipt -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
	ipt -A DOCKER-FORWARD -i docker0 -j ACCEPT
	ipt -A DOCKER ! -i docker0 -o docker0 -j DROP
	ipt -t nat -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination "$published"
	ipt -I DOCKER -d "$container" ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT
	ensure raw -A PREROUTING -d "$container" ! -i docker0 -j DROP
}

ip link show docker0 >/dev/null 2>&1 || {
	ip link add docker0 type bridge
	ip address add 172.17.0.1/16 brd 172.17.255.255 dev docker0
	ip address add fd17::1/64 dev docker0 nodad
	ip link set docker0 up
}
docker iptables 172.17.0.0/16 172.17.0.2 172.17.0.2:80 127.0.0.0/8
docker ip6tables fd17::/64 fd17::2 '[fd17::2]:80' ::1/128
