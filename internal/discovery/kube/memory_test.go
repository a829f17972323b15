package kube_test

import (
	"context"
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
				cmd := exec.CommandContext(b.Context(), os.Args[0])
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

// TestMain is the process that BenchmarkFleet measures, where it is asked to be.
func TestMain(m *testing.M) {
	if file := os.Getenv("KUBE_FLEET"); file != "" {
		if err := know(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// know prints what it takes to know the pods of a cluster.
func know(file string) error {
	f, err := kube.New(kube.Options{Kubeconfig: file, SyncWait: time.Minute})
	if err != nil {
		return err
	}
	defer f.Stop()
	heap := func() float64 {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before, rss := heap(), kernel("VmRSS")
	begin := time.Now()
	if err := f.Start(context.Background()); err != nil {
		return err
	}
	took := time.Since(begin)
	peak := kernel("VmHWM")
	after := heap()
	if n := len(f.Known()); n != fleet {
		return fmt.Errorf("%d pods", n)
	}
	services, err := f.Services(context.Background())
	if err != nil || len(services) != 50 {
		return fmt.Errorf("%d services, %w", len(services), err)
	}
	fmt.Printf("fleet kept-B/pod %.0f\nfleet rss-before-MB %.1f\nfleet rss-after-MB %.1f\nfleet rss-peak-MB %.1f\nfleet sync-ms %d\n",
		(after-before)/fleet, rss, kernel("VmRSS"), peak, took.Milliseconds())
	return nil
}

// kernel is a line of the process's status, in MB. It panics where there is none:
// the benchmark asks for this process on Linux alone.
func kernel(name string) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name+":" {
			n, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				panic(err)
			}
			return n / 1024
		}
	}
	panic("no " + name)
}
