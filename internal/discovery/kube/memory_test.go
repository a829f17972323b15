package kube_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
)

// fleet is how many pods a large cluster has.
const fleet = 5000

// grown is a pod as they are in real clusters: some 9 KB of what profbot does
// not need.
func grown(i int) *corev1.Pod {
	p := pod(fmt.Sprintf("service-%02d-6d4cf56db6-%05d", i%50, i), fmt.Sprintf("10.%d.%d.%d", i/40000, i/200%200, i%200+1), fmt.Sprintf("service-%02d", i%50), map[string]string{
		"profiles.grafana.com/cpu.scrape": "true", "profiles.grafana.com/cpu.port": "6060", "checksum/config": strings.Repeat("c", 64),
	})
	p.Labels["tags.datadoghq.com/env"], p.Labels["tags.datadoghq.com/version"], p.Labels["pod-template-hash"] = "prod", "2026.11.25", "6d4cf56db6"
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(`{"f:status":"` + strings.Repeat("x", 4000) + `"}`)}}
	c := &p.Spec.Containers[0]
	for j := range 40 {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%02d", j), Value: strings.Repeat("v", 60)})
		if j < 8 {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: fmt.Sprintf("volume-%d", j)})
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: fmt.Sprintf("volume-%d", j), MountPath: strings.Repeat("/path", 8)})
		}
	}
	return p
}

// BenchmarkFleet measures what it costs a process to know 5,000 pods: its own
// memory by the kernel's count, before and after, and at its highest.
func BenchmarkFleet(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("memory is read from /proc")
	}
	for name, opt := range map[string]kubetest.Options{"streamed": {}, "in-chunks": {OldServer: true}} {
		b.Run(name, func(b *testing.B) {
			s := kubetest.New(b, opt)
			size := 0
			for i := range fleet {
				size += s.Put(grown(i)).Size()
			}
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestFleetChild$", "-test.v")
				cmd.Env = append(os.Environ(), "KUBE_FLEET="+s.Kubeconfig(), "GOMEMLIMIT=", "GOGC=")
				out, err := cmd.CombinedOutput()
				if err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				for line := range strings.Lines(string(out)) {
					if f := strings.Fields(line); len(f) == 3 && f[0] == "fleet" {
						if n, err := strconv.ParseFloat(f[2], 64); err == nil {
							b.ReportMetric(n, f[1])
						}
					}
				}
			}
			b.ReportMetric(float64(size)/fleet, "sent-B/pod")
		})
	}
}

// TestFleetChild is the process that BenchmarkFleet measures.
func TestFleetChild(t *testing.T) {
	file := os.Getenv("KUBE_FLEET")
	if file == "" {
		t.Skip("it is what BenchmarkFleet starts")
	}
	f, err := kube.New(kube.Options{Kubeconfig: file, SyncWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Stop()
	heap := func() float64 {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before, rss := heap(), kernel(t, "VmRSS")
	begin := time.Now()
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	peak := kernel(t, "VmHWM")
	after := heap()
	if n := len(f.Known()); n != fleet {
		t.Fatalf("%d pods", n)
	}
	services, err := f.Services(t.Context())
	if err != nil || len(services) != 50 {
		t.Fatalf("%d services, %v", len(services), err)
	}
	fmt.Printf("fleet kept-B/pod %.0f\nfleet rss-before-MB %.1f\nfleet rss-after-MB %.1f\nfleet rss-peak-MB %.1f\nfleet sync-ms %d\n",
		(after-before)/fleet, rss, kernel(t, "VmRSS"), peak, took.Milliseconds())
}

// kernel is a line of the process's status, in MB.
func kernel(t *testing.T, name string) float64 {
	t.Helper()
	file, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 3 && f[0] == name+":" {
			n, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return n / 1024
		}
	}
	t.Fatalf("no %s", name)
	return 0
}
