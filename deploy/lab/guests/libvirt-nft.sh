# What libvirt since 10.4 does to nftables when it starts its network "default" (network_nftables.c). Run once more it is a restart
# of the network: its rules go one by one and come again, chains and table stay.
set -e

ip link show virbr0 >/dev/null 2>&1 || {
	ip link add virbr0 type bridge
	ip address add 192.168.122.1/24 brd 192.168.122.255 dev virbr0
	ip link set virbr0 up
}
nft list table ip libvirt_network >/dev/null 2>&1 || for family in ip ip6; do
	nft -f - <<-TABLE
		table $family libvirt_network {
			chain forward {
				type filter hook forward priority 0; policy accept;
				counter jump guest_cross
				counter jump guest_input
				counter jump guest_output
			}
			chain guest_output { }
			chain guest_input { }
			chain guest_cross { }
			chain guest_nat {
				type nat hook postrouting priority 100; policy accept;
			}
		}
	TABLE
done
for chain in guest_output guest_input guest_cross guest_nat; do nft flush chain ip libvirt_network $chain; done
nft -f - <<-NETWORK
	insert rule ip libvirt_network guest_output iif virbr0 counter reject
	insert rule ip libvirt_network guest_input oif virbr0 counter reject
	insert rule ip libvirt_network guest_cross iif virbr0 oif virbr0 counter accept
	insert rule ip libvirt_network guest_output ip saddr 192.168.122.0/24 iif virbr0 counter accept
	insert rule ip libvirt_network guest_input oif virbr0 ip daddr 192.168.122.0/24 ct state related,established counter accept
	insert rule ip libvirt_network guest_nat ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 counter masquerade
	insert rule ip libvirt_network guest_nat meta l4proto udp ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 counter masquerade to :1024-65535
	insert rule ip libvirt_network guest_nat meta l4proto tcp ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 counter masquerade to :1024-65535
	insert rule ip libvirt_network guest_nat ip saddr 192.168.122.0/24 ip daddr 255.255.255.255 counter return
	insert rule ip libvirt_network guest_nat ip saddr 192.168.122.0/24 ip daddr 224.0.0.0/24 counter return
NETWORK
