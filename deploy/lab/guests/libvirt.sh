# What libvirt does to iptables when it starts its network "default" (virNetworkAddFirewallRules, network_iptables.c of 9.0, which
# is Debian 12's). Run once more it is a restart of the network.
set -e

ip link show virbr0 >/dev/null 2>&1 || {
	ip link add virbr0 type bridge
	ip address add 192.168.122.1/24 brd 192.168.122.255 dev virbr0
	ip link set virbr0 up
}
for program in iptables ip6tables; do
	while read -r table chain base; do
		$program -w -t "$table" -n -L "$chain" >/dev/null 2>&1 || $program -w -t "$table" -N "$chain"
		$program -w -t "$table" -C "$base" -j "$chain" 2>/dev/null || $program -w -t "$table" -I "$base" -j "$chain"
	done <<-CHAINS
		filter LIBVIRT_INP INPUT
		filter LIBVIRT_OUT OUTPUT
		filter LIBVIRT_FWO FORWARD
		filter LIBVIRT_FWI FORWARD
		filter LIBVIRT_FWX FORWARD
		nat LIBVIRT_PRT POSTROUTING
		mangle LIBVIRT_PRT POSTROUTING
	CHAINS
	for chain in LIBVIRT_INP LIBVIRT_OUT LIBVIRT_FWO LIBVIRT_FWI LIBVIRT_FWX; do $program -w -F $chain; done
	$program -w -t nat -F LIBVIRT_PRT
	$program -w -t mangle -F LIBVIRT_PRT
done
for port in 67 53; do
	for protocol in tcp udp; do
		iptables -w -I LIBVIRT_INP -i virbr0 -p $protocol --dport $port -j ACCEPT
		iptables -w -I LIBVIRT_OUT -o virbr0 -p $protocol --dport $((port == 67 ? 68 : 53)) -j ACCEPT
	done
done
iptables -w -I LIBVIRT_FWO -i virbr0 -j REJECT
iptables -w -I LIBVIRT_FWI -o virbr0 -j REJECT
iptables -w -I LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
iptables -w -I LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
iptables -w -I LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -w -t nat -I LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
iptables -w -t nat -I LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p udp -j MASQUERADE --to-ports 1024-65535
iptables -w -t nat -I LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
iptables -w -t nat -I LIBVIRT_PRT -s 192.168.122.0/24 -d 255.255.255.255/32 -j RETURN
iptables -w -t nat -I LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN
iptables -w -t mangle -I LIBVIRT_PRT -o virbr0 -p udp --dport 68 -j CHECKSUM --checksum-fill
