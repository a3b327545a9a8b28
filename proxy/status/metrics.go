package status

import (
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/proxy"
)

// collector reads all numbers at the moment of a scrape: nothing is counted
// twice, and nothing on the way of a session waits for it. All labels are words
// of ours or names of the configuration; a client can invent none.
type collector struct{ source Source }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ftpgate_"+name, help, labels, nil)
}

var (
	descReady        = describe("ready", "1 while the rules are verified in place and the listeners are up.")
	descBuild        = describe("build_info", "The version that runs; always 1.", "version", "goversion")
	descStart        = describe("start_time_seconds", "When the gateway was started, in seconds since 1970.")
	descSessions     = describe("sessions", "Control connections that are served now.", "rule")
	descBegun        = describe("sessions_begun_total", "Control connections that were taken over.", "rule")
	descRefusals     = describe("refusals_total", "Connections and commands that were refused.", "reason")
	descHolesOpen    = describe("pinholes_open", "Pinholes that wait for their connection.")
	descHolesOpened  = describe("pinholes_opened_total", "Pinholes that were put in place.")
	descHolesUsed    = describe("pinholes_used_total", "Pinholes whose connection came.")
	descHolesExpired = describe("pinholes_expired_total", "Pinholes whose life ended before their connection came.")
	descHolesLeft    = describe("pinholes_released_total", "Pinholes that were given up before their connection came.")
	descHolesFailed  = describe("pinhole_failures_total", "Pinholes that could not be opened; each was answered 425.")
	descOpenTime     = describe("pinhole_open_seconds", "How long opening a pinhole took.")
	descTransfers    = describe("transfers_total", "Transfers, and negotiations that led to none, by how they went.", "rule", "kind", "mode", "result")
	descBytes        = describe("transfer_bytes_total", "Bytes carried by transfers that have ended, in both directions, as conntrack counted.", "rule", "kind", "mode")
	descCarried      = describe("carried_bytes_total", "Bytes carried by all data connections, those that run included.")
	descRunning      = describe("transfers_running", "Transfers that run now.")
	descCauses       = describe("transfer_failures_total", "Transfers that did not happen, by the cause that the diagnosis found.", "cause")
	descPorts        = describe("data_ports", "Public ports for data connections, by what they are doing.", "state")
	descPortsRefused = describe("data_ports_refused_total", "How often no public port could be lent.")
	descRepairs      = describe("repairs_total", "Things of ours on the host that another program changed and that were repaired.", "what")
	descReloads      = describe("reloads_total", "Reloads of the configuration.", "result")
	descAudit        = describe("audit_records_total", "Records written to the audit files.")
	descAuditLost    = describe("audit_lost_total", "Records that could not be written to the audit files.")
	descEvents       = describe("conntrack_events_total", "Events of conntrack about data connections.")
	descEventsLost   = describe("conntrack_events_lost_total", "How often the kernel had more events of conntrack than could be read.")
)

// Describe sends nothing: which rules there are changes with the configuration.
func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(to chan<- prometheus.Metric) {
	m := metrics{to}
	c.gateway(m)
	c.sessions(m)
	c.pinholes(m)
	ports := c.source.PortStats()
	m.gauge(descPorts, float64(ports.Lent), "lent")
	m.gauge(descPorts, float64(ports.Resting), "resting")
	m.gauge(descPorts, float64(max(ports.Size-ports.Lent+ports.Shared-ports.Resting, 0)), "free")
	m.counter(descPortsRefused, ports.Refused)
	flows := c.source.FlowStats()
	m.counter(descEvents, flows.Events)
	m.counter(descEventsLost, flows.Lost)
}

func (c collector) gateway(m metrics) {
	g := c.source.Gateway()
	ready := 0.0
	if g.Ready {
		ready = 1
	}
	m.gauge(descReady, ready)
	m.gauge(descBuild, 1, g.Version, runtime.Version())
	m.gauge(descStart, float64(g.Began.UnixMilli())/1000)
	m.counter(descReloads, g.Reloads, "good")
	m.counter(descReloads, g.FailedReloads, "refused")
	m.counter(descRepairs, g.RouteRepairs, "routes")
	m.counter(descAudit, g.Audit.Written)
	m.counter(descAuditLost, g.Audit.Lost)
}

func (c collector) sessions(m metrics) {
	s := c.source.SessionStats()
	known := make(map[string]bool) // a rule without sessions is a 0, not an absence
	for _, r := range c.source.Gateway().Rules {
		known[r.Name] = true
	}
	for rule := range s.Begun {
		known[rule] = true
	}
	for rule := range known {
		m.gauge(descSessions, float64(s.Active[rule]), rule)
		m.counter(descBegun, s.Begun[rule], rule)
	}
	for reason, n := range s.Refusals {
		m.counter(descRefusals, n, reason)
	}
	bytes := make(map[proxy.TransferClass]uint64)
	for class, n := range s.Transfers {
		m.counter(descTransfers, n.Transfers, class.Rule, string(class.Kind), string(class.Mode), string(class.Result))
		class.Result = ""
		bytes[class] += n.Bytes
	}
	for class, n := range bytes {
		m.counter(descBytes, n, class.Rule, string(class.Kind), string(class.Mode))
	}
	for _, cause := range proxy.Causes { // a cause that was never found is a 0: the first one is a rise
		m.counter(descCauses, s.Causes[cause], string(cause))
	}
	carried, running := c.source.Carried()
	m.counter(descCarried, carried)
	m.gauge(descRunning, float64(running))
}

func (c collector) pinholes(m metrics) {
	s := c.source.FirewallStats()
	m.gauge(descHolesOpen, float64(s.Open))
	m.counter(descHolesOpened, s.Opened)
	m.counter(descHolesUsed, s.Used)
	m.counter(descHolesExpired, s.Expired)
	m.counter(descHolesLeft, s.Released)
	m.counter(descHolesFailed, s.Failed)
	m.counter(descRepairs, s.Repairs, "rules")
	buckets, sum := make(map[float64]uint64, len(firewall.OpenBounds)), uint64(0)
	for i, bound := range firewall.OpenBounds {
		sum += s.OpenTimes.Counts[i]
		buckets[bound.Seconds()] = sum
	}
	sum += s.OpenTimes.Counts[len(firewall.OpenBounds)]
	m.to <- prometheus.MustNewConstHistogram(descOpenTime, sum, s.OpenTimes.Sum.Seconds(), buckets)
}

// metrics takes numbers on their way to the scraper.
type metrics struct{ to chan<- prometheus.Metric }

func (m metrics) gauge(d *prometheus.Desc, value float64, labels ...string) {
	m.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, valid(labels)...)
}

func (m metrics) counter(d *prometheus.Desc, value uint64, labels ...string) {
	m.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), valid(labels)...)
}

// valid keeps a version that somebody stamped strangely from ending the daemon.
func valid(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "?")
	}
	return labels
}

// metricsHandler serves the numbers of the gateway, of Go and of the process.
func metricsHandler(source Source, log *zap.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{source}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: zap.NewStdLog(log.Named("metrics")), MaxRequestsInFlight: 4, Timeout: 10 * time.Second, EnableOpenMetrics: true,
	})
}
