package status

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestMetrics: what a scraper reads of the gateway, whole. A name or a label that
// changes breaks somebody's dashboard.
func TestMetrics(t *testing.T) {
	source := newFake(3)
	source.gateway.Reloads, source.gateway.FailedReloads, source.gateway.RouteRepairs = 2, 1, 5
	source.gateway.Audit = Audit{Written: 40, Lost: 2}
	source.bytes = 12345
	const want = `
# HELP ftpgate_audit_lost_total Records that could not be written to the audit files.
# TYPE ftpgate_audit_lost_total counter
ftpgate_audit_lost_total 2
# HELP ftpgate_audit_records_total Records written to the audit files.
# TYPE ftpgate_audit_records_total counter
ftpgate_audit_records_total 40
# HELP ftpgate_carried_bytes_total Bytes carried by all data connections, those that run included.
# TYPE ftpgate_carried_bytes_total counter
ftpgate_carried_bytes_total 12345
# HELP ftpgate_conntrack_events_lost_total How often the kernel had more events of conntrack than could be read.
# TYPE ftpgate_conntrack_events_lost_total counter
ftpgate_conntrack_events_lost_total 1
# HELP ftpgate_conntrack_events_total Events of conntrack about data connections.
# TYPE ftpgate_conntrack_events_total counter
ftpgate_conntrack_events_total 12
# HELP ftpgate_data_ports Public ports for data connections, by what they are doing.
# TYPE ftpgate_data_ports gauge
ftpgate_data_ports{state="free"} 1986
ftpgate_data_ports{state="lent"} 5
ftpgate_data_ports{state="resting"} 10
# HELP ftpgate_data_ports_refused_total How often no public port could be lent.
# TYPE ftpgate_data_ports_refused_total counter
ftpgate_data_ports_refused_total 1
# HELP ftpgate_pinhole_failures_total Pinholes that could not be opened; each was answered 425.
# TYPE ftpgate_pinhole_failures_total counter
ftpgate_pinhole_failures_total 1
# HELP ftpgate_pinhole_open_seconds How long opening a pinhole took.
# TYPE ftpgate_pinhole_open_seconds histogram
ftpgate_pinhole_open_seconds_bucket{le="5e-05"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.0001"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.0002"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.0005"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.001"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.002"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.005"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.01"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.02"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.05"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.1"} 9
ftpgate_pinhole_open_seconds_bucket{le="0.5"} 9
ftpgate_pinhole_open_seconds_bucket{le="1"} 9
ftpgate_pinhole_open_seconds_bucket{le="5"} 9
ftpgate_pinhole_open_seconds_bucket{le="+Inf"} 10
ftpgate_pinhole_open_seconds_sum 7
ftpgate_pinhole_open_seconds_count 10
# HELP ftpgate_pinholes_expired_total Pinholes whose life ended before their connection came.
# TYPE ftpgate_pinholes_expired_total counter
ftpgate_pinholes_expired_total 1
# HELP ftpgate_pinholes_open Pinholes that wait for their connection.
# TYPE ftpgate_pinholes_open gauge
ftpgate_pinholes_open 2
# HELP ftpgate_pinholes_opened_total Pinholes that were put in place.
# TYPE ftpgate_pinholes_opened_total counter
ftpgate_pinholes_opened_total 10
# HELP ftpgate_pinholes_released_total Pinholes that were given up before their connection came.
# TYPE ftpgate_pinholes_released_total counter
ftpgate_pinholes_released_total 1
# HELP ftpgate_pinholes_used_total Pinholes whose connection came.
# TYPE ftpgate_pinholes_used_total counter
ftpgate_pinholes_used_total 6
# HELP ftpgate_ready 1 while the rules are verified in place and the listeners are up.
# TYPE ftpgate_ready gauge
ftpgate_ready 1
# HELP ftpgate_refusals_total Connections and commands that were refused.
# TYPE ftpgate_refusals_total counter
ftpgate_refusals_total{reason="no_rule"} 2
# HELP ftpgate_reloads_total Reloads of the configuration.
# TYPE ftpgate_reloads_total counter
ftpgate_reloads_total{result="good"} 2
ftpgate_reloads_total{result="refused"} 1
# HELP ftpgate_repairs_total Things of ours on the host that another program changed and that were repaired.
# TYPE ftpgate_repairs_total counter
ftpgate_repairs_total{what="routes"} 5
ftpgate_repairs_total{what="rules"} 4
# HELP ftpgate_sessions Control connections that are served now.
# TYPE ftpgate_sessions gauge
ftpgate_sessions{rule="gone"} 0
ftpgate_sessions{rule="in"} 0
ftpgate_sessions{rule="out"} 3
# HELP ftpgate_sessions_begun_total Control connections that were taken over.
# TYPE ftpgate_sessions_begun_total counter
ftpgate_sessions_begun_total{rule="gone"} 3
ftpgate_sessions_begun_total{rule="in"} 0
ftpgate_sessions_begun_total{rule="out"} 100
# HELP ftpgate_transfer_bytes_total Bytes carried by transfers that have ended, in both directions, as conntrack counted.
# TYPE ftpgate_transfer_bytes_total counter
ftpgate_transfer_bytes_total{kind="download",mode="passive",rule="out"} 701
ftpgate_transfer_bytes_total{kind="upload",mode="active",rule="gone"} 9
# HELP ftpgate_transfer_failures_total Transfers that did not happen, by the cause that the diagnosis found.
# TYPE ftpgate_transfer_failures_total counter
ftpgate_transfer_failures_total{cause="after_expiry"} 0
ftpgate_transfer_failures_total{cause="dropped"} 0
ftpgate_transfer_failures_total{cause="firewall"} 0
ftpgate_transfer_failures_total{cause="foreign_address"} 0
ftpgate_transfer_failures_total{cause="from_elsewhere"} 0
ftpgate_transfer_failures_total{cause="gateway_stopped"} 0
ftpgate_transfer_failures_total{cause="gone"} 0
ftpgate_transfer_failures_total{cause="kernel_helper"} 0
ftpgate_transfer_failures_total{cause="never_connected"} 2
ftpgate_transfer_failures_total{cause="not_negotiated"} 0
ftpgate_transfer_failures_total{cause="policy"} 0
ftpgate_transfer_failures_total{cause="ports_exhausted"} 0
ftpgate_transfer_failures_total{cause="rewritten_elsewhere"} 0
ftpgate_transfer_failures_total{cause="server_refused"} 0
ftpgate_transfer_failures_total{cause="stalled"} 0
ftpgate_transfer_failures_total{cause="syntax"} 0
ftpgate_transfer_failures_total{cause="tls"} 0
ftpgate_transfer_failures_total{cause="unanswered"} 0
ftpgate_transfer_failures_total{cause="unusable_reply"} 0
# HELP ftpgate_transfers_running Transfers that run now.
# TYPE ftpgate_transfers_running gauge
ftpgate_transfers_running 3
# HELP ftpgate_transfers_total Transfers, and negotiations that led to none, by how they went.
# TYPE ftpgate_transfers_total counter
ftpgate_transfers_total{kind="download",mode="passive",result="done",rule="out"} 7
ftpgate_transfers_total{kind="download",mode="passive",result="failed",rule="out"} 2
ftpgate_transfers_total{kind="upload",mode="active",result="done",rule="gone"} 1
`
	var names []string
	for line := range strings.Lines(want) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == "TYPE" {
			names = append(names, fields[2])
		}
	}
	if err := testutil.CollectAndCompare(collector{source}, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(collector{source}); n != testutil.CollectAndCount(collector{source}, append(names, "ftpgate_build_info", "ftpgate_start_time_seconds")...) {
		t.Error("there are metrics that this test does not know")
	}
	problems, err := testutil.CollectAndLint(collector{source})
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// TestMetricsServed: the handler adds Go's and the process's numbers, and a
// strange version breaks nothing.
func TestMetricsServed(t *testing.T) {
	source := newFake(1)
	source.gateway.Version = "v\xff"
	w := ask(open(t, source, Options{}), "/metrics")
	for _, want := range []string{"ftpgate_build_info{", "go_goroutines ", "process_resident_memory_bytes ", `ftpgate_sessions{rule="out"} 1`} {
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d: no %s in\n%s", w.Code, want, w.Body)
		}
	}
}
