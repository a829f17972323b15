package analysis

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// The corpus holds profiles of one service built on different routers and
// codecs, with the truth known by construction: a marker frame tells every
// sample's endpoint, and thread clocks measured what decoding cost.

type truth struct {
	Profiles []struct {
		CPU          string `json:"cpu"`
		AllocsBefore string `json:"allocs_before"`
		AllocsAfter  string `json:"allocs_after"`
		Router       string `json:"router"`
		Labels       string `json:"labels"`
		Endpoints    map[string]struct {
			DecodeShare float64 `json:"decode_share"`
			Source      string  `json:"decode_source"`
			Handler     string  `json:"expected_handler_regexp"`
			Marker      string  `json:"true_endpoint_marker_frame"`
		} `json:"endpoints"`
	} `json:"profiles"`
}

func corpus(t *testing.T) truth {
	t.Helper()
	data, err := os.ReadFile("testdata/corpus/truth.json")
	if err != nil {
		t.Fatal(err)
	}
	var tr truth
	if err := json.Unmarshal(data, &tr); err != nil {
		t.Fatal(err)
	}
	return tr
}

func load(t testing.TB, name string) *profile.Profile {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "corpus", name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(data, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// attributed runs an analysis as far as the stacks.
func attributed(t testing.TB, cpu, before, after *profile.Profile) []*stack {
	t.Helper()
	f := newFuncs()
	stacks, _, err := cpuStacks(f, cpu)
	if err != nil {
		t.Fatal(err)
	}
	allocs := allocStacks(f, before, after)
	classifyAll(f, stacks, nil)
	attribute(stacks, allocs, nil)
	return stacks
}

func TestCorpusAttribution(t *testing.T) {
	var marked, pure, whole int64
	for _, p := range corpus(t).Profiles {
		t.Run(strings.TrimSuffix(p.CPU, ".cpu.pb.gz"), func(t *testing.T) {
			stacks := attributed(t, load(t, p.CPU), load(t, p.AllocsBefore), load(t, p.AllocsAfter))
			// guess -> true endpoint -> samples, and the reverse.
			guess, back := map[string]map[string]int64{}, map[string]map[string]int64{}
			var lost int64
			for _, s := range stacks {
				is := ""
				for name, e := range p.Endpoints {
					for _, f := range s.frames {
						if f.fn.base == e.Marker {
							is = name
						}
					}
				}
				if is == "" {
					continue
				}
				if s.end == nil {
					lost += s.value
					t.Logf("lost %d of %s: %s", s.value, is, s.other)
					continue
				}
				add(guess, s.end.name, is, s.value)
				add(back, is, s.end.name, s.value)
			}
			var n, p1, c1 int64
			for g, m := range guess {
				best, sum := most(m)
				n, p1 = n+sum, p1+m[best]
				if m[best] != sum {
					t.Logf("%s mixes %v", g, m)
				}
			}
			for is, m := range back {
				best, sum := most(m)
				c1 += m[best]
				if m[best] != sum {
					t.Logf("%s is spread over %v", is, m)
				}
			}
			marked, pure, whole = marked+n+lost, pure+p1, whole+c1
			for is, m := range back {
				best, _ := most(m)
				var f *fn
				for _, s := range stacks {
					if s.end != nil && s.end.name == best {
						f = s.end.heaviest()
					}
				}
				want := regexp.MustCompile(strings.ReplaceAll(p.Endpoints[is].Handler, `\[\.\.\.\]`, ""))
				if !want.MatchString(f.name) && !want.MatchString(best) {
					t.Errorf("%s: handler %s (%s), want %s", is, f.name, best, want)
				}
			}
		})
	}
	t.Logf("of %d marked samples %.2f %% pure, %.2f %% complete", marked, 100*float64(pure)/float64(marked), 100*float64(whole)/float64(marked))
	if float64(pure) < 0.99*float64(marked) || float64(whole) < 0.985*float64(marked) {
		t.Errorf("attribution fell below 99 %% purity or 98.5 %% completeness")
	}
}

func add(m map[string]map[string]int64, a, b string, n int64) {
	if m[a] == nil {
		m[a] = map[string]int64{}
	}
	m[a][b] += n
}

func most(m map[string]int64) (best string, sum int64) {
	for k, n := range m {
		sum += n
		if best == "" || n > m[best] || n == m[best] && k < best {
			best = k
		}
	}
	return best, sum
}

func TestCorpusSources(t *testing.T) {
	var right, unknown, wrong, all int64
	for _, p := range corpus(t).Profiles {
		t.Run(strings.TrimSuffix(p.CPU, ".cpu.pb.gz"), func(t *testing.T) {
			res, err := Analyze([]PodProfiles{{Pod: "pod", CPU: load(t, p.CPU), AllocsBefore: load(t, p.AllocsBefore), AllocsAfter: load(t, p.AllocsAfter)}}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for name, e := range p.Endpoints {
				want := regexp.MustCompile(strings.ReplaceAll(e.Handler, `\[\.\.\.\]`, ""))
				// Handlers are closures of one constructor in places: the
				// source tells them apart well enough here.
				for _, got := range res.Report.Endpoints {
					if !want.MatchString(got.Handler) || strings.Contains(e.Handler, `func\d+$`) && !strings.Contains(e.Handler, "jsonIn") {
						continue
					}
					t.Logf("%-7s %-30s cpu %-16s decode %-18s truth %4.1f %%  %s  %s", name, got.Name, got.Share, got.Decode, 100*e.DecodeShare, got.BytesFrom(), got.Verdict.Rule)
					for _, s := range got.Sources {
						all += s.Share.Samples
						switch {
						case s.Kind == SourceUnknown:
							unknown += s.Share.Samples
						case strings.HasPrefix(e.Source, "cache") && s.Kind == SourceCache, strings.HasPrefix(e.Source, "request") && s.Kind == SourceRequest,
							strings.HasPrefix(e.Source, "HTTP reply") && s.Kind == SourceReply:
							right += s.Share.Samples
						default:
							wrong += s.Share.Samples
							t.Errorf("%s: %d samples from %s (%s, %s), want %s", name, s.Share.Samples, s.Kind, s.Via, s.Evidence, e.Source)
						}
					}
					if strings.HasPrefix(e.Source, "request") && got.Verdict.Rule == RuleCacheDecode {
						t.Errorf("%s is called a cache problem", name)
					}
				}
			}
		})
	}
	t.Logf("of %d decode samples: %.1f %% right, %.1f %% unknown, %.1f %% wrong", all, pct(right, all), pct(unknown, all), pct(wrong, all))
	if pct(right, all) < 90 {
		t.Error("fewer than 90 % of the decoded bytes have their source")
	}
}

func pct(k, n int64) float64 { return 100 * float64(k) / float64(n) }

func TestCorpusCodecs(t *testing.T) {
	p := load(t, "codec-lab.labelled.cpu.pb.gz")
	f := newFuncs()
	stacks, _, err := cpuStacks(f, p)
	if err != nil {
		t.Fatal(err)
	}
	classifyAll(f, stacks, nil)
	var right, none, wrong int64
	misses := map[string]int64{}
	for _, s := range stacks {
		op := s.label("op")
		if op == "" {
			continue
		}
		s.work = workOf(s, 0)
		switch {
		case string(s.work.dir) == op, s.work.dir == Compress && op == "encode", s.work.dir == Decompress && op == "decode":
			right += s.value
		case s.work.dir == "":
			none += s.value
			misses["none "+s.label("codec")+" "+op+" "+s.frames[len(s.frames)-1].fn.name] += s.value
		default:
			wrong += s.value
			misses[string(s.work.dir)+" for "+op+" "+s.label("codec")+" "+s.frames[s.work.entry].fn.name] += s.value
		}
	}
	for m, n := range misses {
		if n > 3 {
			t.Logf("%d %s", n, m)
		}
	}
	all := right + none + wrong
	t.Logf("of %d samples: %.2f %% right, %.2f %% missed, %.2f %% wrong direction", all, pct(right, all), pct(none, all), pct(wrong, all))
	if pct(right, all) < 97 || pct(wrong, all) > 0.5 {
		t.Error("codec recognition fell below 97 % right or above 0.5 % wrong")
	}
}
