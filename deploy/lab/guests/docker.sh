# What dockerd before version 28 does to iptables when it starts (20.10 is Debian 12's), with one container that publishes its
# port 80 as 8080. Run once more it is a restart of dockerd. The container is 172.17.0.2 at docker0.
set -e

ipt() { iptables -w "$@"; }
# A rule is inserted unless it is there; a jump is moved to the top.
ensure() { table=$1 how=$2 && shift 2 && { ipt -t "$table" -C "$@" 2>/dev/null || ipt -t "$table" "$how" "$@"; }; }
top() { ipt -D FORWARD "$@" 2>/dev/null || :; ipt -I FORWARD "$@"; }

ip link show docker0 >/dev/null 2>&1 || {
	ip link add docker0 type bridge
	ip address add 172.17.0.1/16 brd 172.17.255.255 dev docker0
	ip link set docker0 up
}
for rule in 'PREROUTING -m addrtype --dst-type LOCAL' 'OUTPUT -m addrtype --dst-type LOCAL ! --dst 127.0.0.0/8'; do
	ipt -t nat -D $rule -j DOCKER 2>/dev/null || :
done
for chain in DOCKER; do ipt -t nat -F $chain 2>/dev/null || ipt -t nat -N $chain; done
for chain in DOCKER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do ipt -F $chain 2>/dev/null || ipt -N $chain; done
ipt -A DOCKER-ISOLATION-STAGE-1 -j RETURN
ipt -A DOCKER-ISOLATION-STAGE-2 -j RETURN
ensure nat -I POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
ipt -t nat -I DOCKER -i docker0 -j RETURN
ensure filter -I FORWARD -i docker0 -o docker0 -j ACCEPT
ensure filter -I FORWARD -i docker0 ! -o docker0 -j ACCEPT
ensure nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
ensure nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
ensure filter -I FORWARD -o docker0 -j DOCKER
ensure filter -I FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
ipt -I DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
ipt -I DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
ipt -P FORWARD DROP
top -j DOCKER-ISOLATION-STAGE-1
ipt -n -L DOCKER-USER >/dev/null 2>&1 || ipt -N DOCKER-USER
ensure filter -A DOCKER-USER -j RETURN
top -j DOCKER-USER

ipt -t nat -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
ipt -A DOCKER -d 172.17.0.2 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT
ensure nat -A POSTROUTING -s 172.17.0.2 -d 172.17.0.2 -p tcp --dport 80 -j MASQUERADE
